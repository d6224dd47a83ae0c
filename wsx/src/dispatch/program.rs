//! The program at one end of a conversation: its endpoint with the handlers, its bounds and its observer.
//!
//! A hub and a client own one each, so both run a handler in the same way.
use crate::{
    config::Config,
    connection::by_hand::OwnHandler,
    dispatch::router::{Added, NoHandlers, Owner, Router},
    error::BuildError,
    observer::{Observer, Silent},
    protocol::endpoint::{Endpoint, Untyped},
};
use std::{
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub(crate) struct Program<E> {
    pub(crate) endpoint: E,
    pub(crate) router: Router<E>,
    pub(crate) config: Config,
    pub(crate) observer: Arc<dyn Observer>,
    ignored: AtomicU64,
}

impl<E> Program<E> {
    /// A program without handlers, except those that a connection brings.
    pub(crate) fn without_handlers(endpoint: E, config: Config) -> Self {
        Self::new(endpoint, Router::empty(), config, Arc::new(Silent))
    }

    fn new(endpoint: E, router: Router<E>, config: Config, observer: Arc<dyn Observer>) -> Self {
        Self { endpoint, router, config, observer, ignored: AtomicU64::new(0) }
    }

    /// How many messages had no handler.
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }

    pub(crate) fn count_ignored(&self) {
        self.ignored.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the builders of a hub and of a client collect alike.
pub(crate) struct ProgramBuilder<E> {
    endpoint: E,
    pub(crate) config: Config,
    pub(crate) observer: Arc<dyn Observer>,
    added: Vec<Added>,
    problems: Vec<String>,
}

impl Default for ProgramBuilder<Untyped> {
    fn default() -> Self {
        Self {
            endpoint: Untyped::default(),
            config: Config::default(),
            observer: Arc::new(Silent),
            added: Vec::new(),
            problems: Vec::new(),
        }
    }
}

impl ProgramBuilder<Untyped> {
    pub(crate) fn state<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.endpoint.insert(value);
    }

    pub(crate) fn add(
        &mut self,
        message_type: String,
        handler: Arc<dyn OwnHandler>,
        location: &'static Location<'static>,
    ) {
        self.added.push(Added { message_type, handler, location });
    }

    /// Replaces the untyped endpoint. State and closures that were given to it have no place on another one.
    pub(crate) fn endpoint<E: Endpoint>(self, endpoint: E) -> ProgramBuilder<E> {
        let Self { endpoint: untyped, config, observer, added, mut problems } = self;
        if !untyped.is_empty() {
            problems.push(format!(
                "`state` was called before `endpoint({})`: make the value a field of `{}` instead",
                E::NAME,
                E::NAME
            ));
        }
        problems.extend(added.into_iter().map(|Added { message_type, location, .. }| {
            format!(
                "the handler of {message_type:?} that was added with `on` ({}:{}) is not on endpoint {}: write \
                 `#[wsx::handler(on = {})]` instead",
                location.file(),
                location.line(),
                E::NAME,
                E::NAME
            )
        }));
        ProgramBuilder { endpoint, config, observer, added: Vec::new(), problems }
    }
}

impl<E: Endpoint> ProgramBuilder<E> {
    /// Adds a problem of the builder's own to those that [`build`](Self::build) returns.
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Collects the handlers. Returns every problem beside the program.
    pub(crate) fn build(self, owner: Owner, no_handlers: NoHandlers) -> (Program<E>, Result<(), BuildError>) {
        let Self { endpoint, config, observer, added, mut problems } = self;
        let (router, more) = Router::build(&endpoint, added, owner, no_handlers);
        problems.extend(more);
        let result =
            if problems.is_empty() { Ok(()) } else { Err(BuildError { subject: subject::<E>(owner), problems }) };
        (Program::new(endpoint, router, config, observer), result)
    }
}

/// What cannot be built, as an error names it.
fn subject<E: Endpoint>(owner: Owner) -> String {
    let owner = match owner {
        Owner::Hub => "the hub",
        Owner::Client => "the client",
    };
    if E::NAME == Untyped::NAME { owner.to_owned() } else { format!("{owner} of endpoint {}", E::NAME) }
}
