//! The program at one end of a conversation: its endpoint, handlers, bounds and observer.
//!
//! A hub and a client own one each, so both run handlers in the same way. It does not know which of
//! them owns it.
#[cfg(feature = "versions")]
use crate::contract::Released;
use crate::{
    config::Config,
    connection::{closure_handler::OwnHandler, handle::Handle, keeper::Keeper, watch::Watch},
    delivery::{Mailbox, Outbox, deliveries::Deliveries},
    dispatch::{
        router::{Added, NoHandlers, Owner, Router},
        versions::Versions,
    },
    error::{BuildError, Report},
    observer::{GuardedObserver, Interest, Silent, spans},
    protocol::{
        PeerVersion,
        endpoint::{Endpoint, Untyped},
        peer_version::MAX_NAME,
        side::Side,
    },
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
    /// What the program and its peers speak.
    pub(crate) versions: Versions,
    /// The messages that are kept until their peers have handled them.
    pub(crate) deliveries: Deliveries,
    /// The same, as the sends of connections know it.
    keeper: Arc<dyn Keeper>,
    /// How many messages did not have a handler. An atomic, because every connection counts here.
    ignored: AtomicUsize,
}

impl<E> Program<E> {
    /// Returns a program without handlers. Only the handlers of a connection itself run.
    pub(crate) fn without_handlers(endpoint: E, config: Config) -> Self {
        let observer = GuardedObserver::new(Silent);
        let deliveries = Deliveries::in_memory(observer.clone());
        Self::new(endpoint, Router::empty(), config, observer, deliveries, Versions::none())
    }

    fn new(
        endpoint: E,
        router: Router<E>,
        config: Config,
        observer: GuardedObserver,
        deliveries: Deliveries,
        versions: Versions,
    ) -> Self {
        let interest = observer.interest();
        let watch = interest.messages.then(|| Arc::new(observer.clone()) as Arc<dyn Watch>);
        let keeper = Arc::new(deliveries.clone());
        let ignored = AtomicUsize::new(0);
        Self { endpoint, router, config, observer, interest, watch, versions, deliveries, keeper, ignored }
    }

    /// Gives a new connection what the observer wants of it, and who keeps its messages.
    pub(crate) fn watch(&self, conn: &Handle) {
        conn.set_keeper(&self.keeper);
        if let Some(watch) = &self.watch {
            conn.set_watch(watch.clone());
        }
        if self.interest.spans {
            spans::create(conn);
        }
    }

    /// Notes what the peer of a new connection speaks.
    pub(crate) fn meet(&self, conn: &Handle, version: PeerVersion) {
        self.versions.meet(conn, version, &self.observer);
    }

    /// Reports what this end and the peer do not understand of each other.
    pub(crate) fn report_version(&self, conn: &Handle) {
        self.versions.report(conn, &self.observer);
    }

    /// Returns who keeps the messages of the program.
    pub(crate) fn keeper(&self) -> Arc<dyn Keeper> {
        self.keeper.clone()
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
    /// Where kept messages are, if the program says so.
    pub(crate) place: Option<Place>,
    /// The lock file, if the program has it.
    #[cfg(feature = "versions")]
    pub(crate) released: Option<Released>,
    /// The closures given to `on`.
    added: Vec<Added>,
    /// Problems found before `build`, which reports them together with its own.
    problems: Vec<String>,
}

/// Where a program keeps messages.
pub(crate) enum Place {
    Outbox(Outbox),
    Mailbox(Mailbox),
}

impl Default for ProgramBuilder<Untyped> {
    fn default() -> Self {
        Self {
            endpoint: Untyped::default(),
            config: Config::default(),
            observer: GuardedObserver::new(Silent),
            place: None,
            #[cfg(feature = "versions")]
            released: None,
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
        let Self { endpoint: untyped, added, mut problems, .. } = self;
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
        ProgramBuilder {
            endpoint,
            config: self.config,
            observer: self.observer,
            place: self.place,
            #[cfg(feature = "versions")]
            released: self.released,
            added: Vec::new(),
            problems,
        }
    }
}

impl<E: Endpoint> ProgramBuilder<E> {
    /// Adds a problem that [`build`](Self::build) returns with its own.
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Collects the handlers. Returns the program, and an error with every problem.
    pub(crate) fn build(self, owner: Owner, no_handlers: NoHandlers) -> (Program<E>, Result<(), BuildError>) {
        #[cfg_attr(not(feature = "versions"), allow(unused_mut, reason = "only a lock file changes it"))]
        let mut versions = Versions::of::<E>();
        #[cfg(feature = "versions")]
        let unfit = self.released.map(|released| versions.set_released::<E>(released)).and_then(Result::err);
        let Self { endpoint, config, observer, place, added, mut problems, .. } = self;
        #[cfg(feature = "versions")]
        problems.extend(unfit);
        if E::Side::PROTOCOL.len() > MAX_NAME {
            problems.push(format!("the name of a protocol has at most {MAX_NAME} bytes: {:?}", E::Side::PROTOCOL));
        }
        let (router, more) = Router::build(&endpoint, added, owner, no_handlers);
        problems.extend(more);
        let place = place.unwrap_or_else(|| match owner {
            Owner::Hub => Place::Mailbox(Mailbox::default()),
            Owner::Client => Place::Outbox(Outbox::default()),
        });
        // A store is opened only if everything else is right.
        let own = || versions.own().map(|own| own.key().into());
        let opened = match place {
            _ if !problems.is_empty() => Ok(Deliveries::in_memory(observer.clone())),
            Place::Outbox(outbox) => Deliveries::of_outbox(outbox, observer.clone(), own()),
            Place::Mailbox(mailbox) => Deliveries::of_mailbox(mailbox, observer.clone(), own()),
        };
        let deliveries = opened.unwrap_or_else(|error| {
            problems.push(Report(&error).to_string());
            Deliveries::in_memory(observer.clone())
        });
        let result =
            if problems.is_empty() { Ok(()) } else { Err(BuildError { subject: subject::<E>(owner), problems }) };
        (Program::new(endpoint, router, config, observer, deliveries, versions), result)
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
