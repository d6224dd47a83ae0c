//! An endpoint's frozen table, type string to handler, shared by all its connections.
//!
//! Decides who handles a message and runs it; knows no socket.
use crate::{
    config::Config,
    connection::{Connection, HandlerResult, OwnHandler},
    dispatch::context::Context,
    dispatch::handler::{HandlerEntry, Outcome, Registration},
    dispatch::incoming::{CLOSE, Incoming, OPEN, RAW, RESERVED, RawFrame, UNKNOWN},
    error::StartError,
    observer::Observer,
    protocol::endpoint::Endpoint,
    server::hub::Hub,
    wire::frame::Frame,
};
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hasher},
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a message meets besides its connection: the program that it came to.
pub(crate) struct Scope<'a, E: Endpoint> {
    pub(crate) endpoint: &'a E,
    /// A client has none.
    pub(crate) hub: Option<&'a Hub<E>>,
    pub(crate) router: &'a Router<E>,
    pub(crate) config: &'a Config,
    pub(crate) observer: &'a dyn Observer,
    /// Messages that nobody handled.
    pub(crate) ignored: &'a AtomicU64,
}

impl<E: Endpoint> Scope<'_, E> {
    /// The reply; an error is told to the observer instead.
    fn told(&self, conn: &Connection, message_type: &str, result: HandlerResult) -> Option<Frame> {
        result.unwrap_or_else(|error| {
            self.observer.failed(conn, message_type, &error);
            None
        })
    }
}

pub(crate) struct Router<E: Endpoint> {
    table: HashMap<Arc<str>, Route<E>, Fnv>,
}

enum Route<E: Endpoint> {
    Annotated(HandlerEntry<E>),
    ByHand(Arc<dyn OwnHandler>),
}

/// A handler that a builder was given, with the place of the call.
pub(crate) struct Added {
    pub(crate) message_type: String,
    pub(crate) handler: Arc<dyn OwnHandler>,
    pub(crate) at: &'static Location<'static>,
}

/// Which end of a connection the table is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Hub,
    Client,
}

/// Whether a table may be empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    Allowed,
    Refused,
}

impl<E: Endpoint> Router<E> {
    /// No handlers but those that a connection brings.
    pub(crate) fn empty() -> Self {
        Self { table: HashMap::default() }
    }

    /// The types that have a handler, the reserved ones included, in order.
    pub(crate) fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = self.table.keys().map(|key| (**key).to_owned()).collect();
        types.sort_unstable();
        types
    }

    /// All annotated handlers of `E`, and those added by hand. The error lists every problem.
    pub(crate) fn build(endpoint: &E, added: Vec<Added>, end: End, empty: Empty) -> Result<Self, StartError> {
        let mut problems = Vec::new();
        let mut table = HashMap::<Arc<str>, Route<E>, Fnv>::default();
        let mut places = HashMap::<Arc<str>, String>::new();
        let mut enter = |message_type: &str, place: String, route, problems: &mut Vec<String>| {
            let key: Arc<str> = message_type.into();
            if message_type.is_empty() || (message_type.starts_with("__") && !RESERVED.contains(&message_type)) {
                problems.push(format!(
                    "{place}: no message has the type {message_type:?}; the reserved ones are {RESERVED:?}"
                ));
            } else if let Some(first) = places.get(&key) {
                problems.push(format!("two handlers for {message_type:?}: {first} and {place}"));
            } else {
                places.insert(key.clone(), place);
                table.insert(key, route);
            }
        };
        for entry in annotated::<E>() {
            missing_arguments(&entry, endpoint, end, &mut problems);
            let place = format!("{} ({}:{})", entry.name, entry.file, entry.line);
            enter(entry.message_type, place, Route::Annotated(entry), &mut problems);
        }
        for Added { message_type, handler, at } in added {
            let place = format!("one added by hand ({}:{})", at.file(), at.line());
            enter(&message_type, place, Route::ByHand(handler), &mut problems);
        }
        if table.is_empty() && problems.is_empty() && empty == Empty::Refused {
            // A linker drops the handlers of a crate that nothing refers to, and then a program is deaf in silence.
            let others = inventory::iter::<Registration>.into_iter().count();
            let elsewhere = match others {
                0 => String::new(),
                count => format!("{count} are on other endpoints, whose values `Hub::with` and `Client::with` take; "),
            };
            problems.push(format!(
                "there is no handler at all: {elsewhere}if they are in a crate of their own, refer to it, as in \
                `use my_handlers as _;`; if there are none, or each connection brings its own, say `without_handlers()`"
            ));
        }
        if problems.is_empty() { Ok(Self { table }) } else { Err(StartError { endpoint: E::NAME, problems }) }
    }

    /// Runs the handler of a frame to its end, and returns the finished frame of its reply. What goes wrong goes to the
    /// observer.
    pub(crate) async fn message<'f>(
        &self,
        scope: &Scope<'_, E>,
        conn: &Connection,
        frame: &'f RawFrame<'f>,
    ) -> Option<Frame> {
        // In a block of its own, and each way with an await of its own: every idle connection carries the room for the
        // larger of the two, and not for both.
        {
            let quick = Incoming::quick(frame);
            if let Some(incoming) = &quick {
                let context = Context { endpoint: scope.endpoint, hub: scope.hub, conn, incoming };
                if let Some((message_type, outcome)) = self.call_reader(&context) {
                    let result = match outcome {
                        Outcome::Ready(result) => result,
                        Outcome::Pending(future) => future.await,
                    };
                    return scope.told(conn, message_type, result);
                }
            }
        }
        self.event(scope, conn, &Incoming::message(frame)).await
    }

    /// As [`message`](Self::message), for what was looked at whole.
    pub(crate) async fn event(
        &self,
        scope: &Scope<'_, E>,
        conn: &Connection,
        incoming: &Incoming<'_>,
    ) -> Option<Frame> {
        let context = Context { endpoint: scope.endpoint, hub: scope.hub, conn, incoming };
        let (message_type, outcome) = self.call(scope, &context)?;
        let result = match outcome {
            Outcome::Ready(result) => result,
            Outcome::Pending(future) => future.await,
        };
        scope.told(conn, message_type, result)
    }

    /// Calls the handler of a message of which only the head was read, if it is an annotated one that reads the rest.
    fn call_reader<'f>(&'f self, context: &'f Context<'f, E>) -> Option<(&'f str, Outcome<'f>)> {
        match self.find(context.conn, &context.incoming.message_type)? {
            (message_type, Found::Route(Route::Annotated(entry))) if entry.payload => {
                let outcome = (entry.call)(context);
                // A handler whose arguments were drawn has read the payload, and so the whole frame. If one was not, the
                // frame may be none of its business.
                let its_own = !matches!(outcome, Outcome::Ready(Err(_))) || context.incoming.is_envelope();
                its_own.then_some((message_type, outcome))
            }
            _ => None,
        }
    }

    /// Calls whoever handles it. Nobody is nothing wrong, but counts.
    fn call<'f>(&'f self, scope: &Scope<'_, E>, context: &'f Context<'f, E>) -> Option<(&'f str, Outcome<'f>)> {
        let Context { conn, incoming, .. } = *context;
        let key = &*incoming.message_type;
        let found = self.find(conn, key);
        let (message_type, found) = match key {
            OPEN | CLOSE => found?,
            // For an envelope whose type has no handler there may be one of its own.
            _ => match found.or_else(|| if key == RAW { None } else { self.find(conn, UNKNOWN) }) {
                Some(found) => found,
                None => {
                    scope.ignored.fetch_add(1, Ordering::Relaxed);
                    match incoming.frame {
                        Some(frame) if key == RAW => scope.observer.not_an_envelope(conn, frame),
                        _ => scope.observer.ignored(conn, key),
                    }
                    return None;
                }
            },
        };
        let outcome = match found {
            Found::Own(handler) => Outcome::Pending(handler.call(conn, incoming)),
            Found::Route(Route::ByHand(handler)) => Outcome::Pending(handler.call(conn, incoming)),
            Found::Route(Route::Annotated(entry)) => (entry.call)(context),
        };
        Some((message_type, outcome))
    }

    /// The connection's own handler, or else the table's.
    fn find<'r>(&'r self, conn: &Connection, key: &'r str) -> Option<(&'r str, Found<'r, E>)> {
        if let Some(own) = conn.own_handler(key) {
            return Some((key, Found::Own(own)));
        }
        let (key, route) = self.table.get_key_value(key)?;
        Some((key, Found::Route(route)))
    }
}

enum Found<'r, E: Endpoint> {
    Own(Arc<dyn OwnHandler>),
    Route(&'r Route<E>),
}

/// The annotated handlers of `E`: those that the type system knows, and those that are collected beside them. Sorted, since
/// `inventory` promises no order.
fn annotated<E: Endpoint>() -> Vec<HandlerEntry<E>> {
    let typed =
        |entry: Box<dyn Any>| *entry.downcast::<HandlerEntry<E>>().expect("the macros name one endpoint in both");
    let mut entries: Vec<HandlerEntry<E>> = E::entries().into_iter().map(typed).collect();
    let known = entries.len();
    let place = |entry: &HandlerEntry<E>| (entry.message_type, entry.name, entry.file, entry.line);
    for registration in
        inventory::iter::<Registration>.into_iter().filter(|found| (found.endpoint)() == TypeId::of::<E>())
    {
        let entry = typed((registration.entry)());
        if !entries[..known].iter().any(|first| place(first) == place(&entry)) {
            entries.push(entry);
        }
    }
    entries.sort_by_key(|entry| (entry.message_type, entry.file, entry.line));
    entries
}

/// The arguments of a handler for which there is no value at this end.
fn missing_arguments<E: Endpoint>(entry: &HandlerEntry<E>, endpoint: &E, end: End, problems: &mut Vec<String>) {
    let HandlerEntry { name, file, line, .. } = entry;
    if let Some(states) = endpoint.states() {
        for state in entry.states.iter().flatten().filter(|state| !states.contains((state.id)())) {
            problems
                .push(format!("{name} ({file}:{line}) takes State<{}>, but no such state was given", (state.name)()));
        }
    }
    if entry.takes_hub && end == End::Client {
        problems.push(format!(
            "{name} ({file}:{line}) takes the hub, but this is a client; give each end an endpoint of its own"
        ));
    }
}

impl<E: Endpoint> fmt::Debug for Router<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.table.keys()).finish()
    }
}

/// Fowler–Noll–Vo, 64 bits. The keys are the program's own, so nobody can choose colliding ones.
#[derive(Default, Clone, Copy)]
struct Fnv;
struct FnvHasher(u64);

impl BuildHasher for Fnv {
    type Hasher = FnvHasher;
    fn build_hasher(&self) -> FnvHasher {
        FnvHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for FnvHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
