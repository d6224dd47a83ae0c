//! The program at one end of a conversation: its endpoint, handlers, bounds and observer.
//!
//! A hub and a client own one each, so both run handlers in the same way. It does not know which of
//! them owns it.
use crate::{
    config::Config,
    connection::{closure_handler::OwnHandler, handle::Handle, watch::Watch},
    dispatch::router::{Added, NoHandlers, Owner, Router},
    error::BuildError,
    observer::{GuardedObserver, Interest, Silent, spans},
    protocol::endpoint::{Endpoint, Untyped},
};
use std::{
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Everything that the connections of a hub or a client share.
pub(crate) struct Program<E> {
    /// The state of the handlers.
    pub(crate) endpoint: E,
    /// The handlers. Fixed when the program is built, so that finding one needs no lock.
    pub(crate) router: Router<E>,
    /// The bounds of each connection.
    pub(crate) config: Config,
    /// Receives the problems of each connection.
    pub(crate) observer: GuardedObserver,
    /// What the observer wants beyond problems. Asked once, so that a message costs one test of it.
    pub(crate) interest: Interest,
    /// The observer, if it wants to know of each message that is sent.
    watch: Option<Arc<dyn Watch>>,
    /// How many messages did not have a handler. An atomic, because every connection counts here.
    ignored: AtomicUsize,
}

impl<E> Program<E> {
    /// Returns a program without handlers. Only the handlers of a connection itself run.
    pub(crate) fn without_handlers(endpoint: E, config: Config) -> Self {
        Self::new(endpoint, Router::empty(), config, GuardedObserver::new(Silent))
    }

    fn new(endpoint: E, router: Router<E>, config: Config, observer: GuardedObserver) -> Self {
        let interest = observer.interest();
        let watch = interest.messages.then(|| Arc::new(observer.clone()) as Arc<dyn Watch>);
        Self { endpoint, router, config, observer, interest, watch, ignored: AtomicUsize::new(0) }
    }

    /// Gives a new connection what the observer wants of it.
    pub(crate) fn watch(&self, conn: &Handle) {
        if let Some(watch) = &self.watch {
            conn.set_watch(watch.clone());
        }
        if self.interest.spans {
            spans::create(conn);
        }
    }

    /// Whether the observer wants to know of each message.
    pub(crate) fn watches_messages(&self) -> bool {
        self.watch.is_some()
    }

    /// Returns how many messages did not have a handler.
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed) as u64
    }

    pub(crate) fn count_ignored(&self) {
        self.ignored.fetch_add(1, Ordering::Relaxed);
    }
}

/// The options that the builders of a hub and of a client have in common.
pub(crate) struct ProgramBuilder<E> {
    /// The state of the handlers.
    endpoint: E,
    /// Becomes [`Program::config`].
    pub(crate) config: Config,
    /// Becomes [`Program::observer`].
    pub(crate) observer: GuardedObserver,
    /// The closures given to `on`.
    added: Vec<Added>,
    /// Problems found before `build`, which reports them together with its own.
    problems: Vec<String>,
}

impl Default for ProgramBuilder<Untyped> {
    fn default() -> Self {
        Self {
            endpoint: Untyped::default(),
            config: Config::default(),
            observer: GuardedObserver::new(Silent),
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

    /// Replaces the untyped endpoint. Earlier state and closures belong to the untyped endpoint, so
    /// each is a problem.
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
                "the handler of {message_type:?} added with `on` ({}:{}) is not on endpoint {}: write \
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
    /// Adds a problem that [`build`](Self::build) returns with its own.
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Collects the handlers. Returns the program, and an error with every problem.
    pub(crate) fn build(self, owner: Owner, no_handlers: NoHandlers) -> (Program<E>, Result<(), BuildError>) {
        let Self { endpoint, config, observer, added, mut problems } = self;
        let (router, more) = Router::build(&endpoint, added, owner, no_handlers);
        problems.extend(more);
        let result =
            if problems.is_empty() { Ok(()) } else { Err(BuildError { subject: subject::<E>(owner), problems }) };
        (Program::new(endpoint, router, config, observer), result)
    }
}

/// Returns the name of the thing that cannot be built, for an error.
fn subject<E: Endpoint>(owner: Owner) -> String {
    let owner = match owner {
        Owner::Hub => "the hub",
        Owner::Client => "the client",
    };
    if E::NAME == Untyped::NAME { owner.to_owned() } else { format!("{owner} of endpoint {}", E::NAME) }
}
