//! The table of an endpoint, from type string to handler. All connections of a hub or a client
//! share it, and it never changes.
//!
//! It finds the handler of a message, but does not run it.
use crate::{
    connection::{closure_handler::OwnHandler, handle::Handle},
    dispatch::registration::{HandlerEntry, Registration},
    envelope::incoming::RESERVED,
    protocol::{
        endpoint::{Endpoint, Untyped},
        side::Side,
    },
};
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hasher},
    panic::Location,
    sync::Arc,
};

/// The table of an endpoint's handlers.
pub(crate) struct Router<E> {
    /// The handler of each type.
    table: HashMap<Arc<str>, Route<E>, Fnv>,
    /// Whether a handler is concurrent.
    has_concurrent: bool,
}

/// A handler in the table.
enum Route<E> {
    /// From `#[wsx::handler]`.
    Annotated(HandlerEntry<E>),
    /// A closure given to a builder.
    ByHand(Arc<dyn OwnHandler>),
}

/// A closure given to a builder as a handler.
pub(crate) struct Added {
    pub(crate) message_type: String,
    pub(crate) handler: Arc<dyn OwnHandler>,
    /// The place of the call in the program, for error messages.
    pub(crate) location: &'static Location<'static>,
}

/// The kind of the table's owner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Hub,
    Client,
}

/// Whether a table without handlers is a problem.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHandlers {
    Allowed,
    Problem,
}

/// The handler of a message.
pub(crate) enum Found<'r, E> {
    Annotated(&'r HandlerEntry<E>),
    ByHand(Arc<dyn OwnHandler>),
}

impl<E> Router<E> {
    /// Returns a table without handlers. Only the handlers of a connection itself are then found.
    pub(crate) fn empty() -> Self {
        Self { table: HashMap::default(), has_concurrent: false }
    }

    /// Whether a handler is concurrent. If none is, messages need not be looked at for it.
    #[inline]
    pub(crate) fn has_concurrent(&self) -> bool {
        self.has_concurrent
    }

    /// Returns how many calls of the handler of this type may run at a time, if that is more than
    /// one, with its key.
    pub(crate) fn concurrency(&self, message_type: &str) -> Option<(&str, usize)> {
        match self.table.get_key_value(message_type)? {
            (key, Route::Annotated(entry)) if entry.concurrent > 1 => Some((key, entry.concurrent.into())),
            _ => None,
        }
    }

    /// Returns the connection's own handler for this type, or else the table's, with its key.
    pub(crate) fn find<'r>(&'r self, conn: &Handle, message_type: &'r str) -> Option<(&'r str, Found<'r, E>)> {
        if let Some(own) = conn.own_handler(message_type) {
            return Some((message_type, Found::ByHand(own)));
        }
        let (message_type, route) = self.table.get_key_value(message_type)?;
        let found = match route {
            Route::Annotated(entry) => Found::Annotated(entry),
            Route::ByHand(handler) => Found::ByHand(handler.clone()),
        };
        Some((message_type, found))
    }
}

impl<E: Endpoint> Router<E> {
    /// Returns the types that have a handler, including the reserved ones, in alphabetical order.
    pub(crate) fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = self.table.keys().map(|key| (**key).to_owned()).collect();
        types.sort_unstable();
        types
    }

    /// Collects the annotated handlers of `E` and the closures of the builder. Returns the table
    /// and every problem.
    pub(crate) fn build(endpoint: &E, added: Vec<Added>, owner: Owner, no_handlers: NoHandlers) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let mut table = HashMap::<Arc<str>, Route<E>, Fnv>::default();
        let mut places = HashMap::<Arc<str>, String>::new();
        let mut enter = |message_type: &str, place: String, route, problems: &mut Vec<String>| {
            let key: Arc<str> = message_type.into();
            if message_type.is_empty() || (message_type.starts_with("__") && !RESERVED.contains(&message_type)) {
                problems.push(format!(
                    "{place}: a message cannot have the type {message_type:?}: use a name that does not begin with \
                     `__`, or one of {RESERVED:?}"
                ));
            } else if let Some(first) = places.get(&key) {
                // rustdoc's name for the program that it makes of all doctests.
                let hint = if place.starts_with("doctest_bundle") {
                    "; all doctests of a crate are one program: mark this one with `standalone_crate`, or give each \
                     doctest an endpoint"
                } else {
                    ""
                };
                problems.push(format!("two handlers for {message_type:?}: {first} and {place}{hint}"));
            } else {
                places.insert(key.clone(), place);
                table.insert(key, route);
            }
        };
        for entry in annotated::<E>() {
            missing_arguments(&entry, endpoint, owner, &mut problems);
            let place = format!("{} ({}:{})", entry.name, entry.file, entry.line);
            enter(entry.message_type, place, Route::Annotated(entry), &mut problems);
        }
        for Added { message_type, handler, location } in added {
            let place = format!("the closure added at {}:{}", location.file(), location.line());
            enter(&message_type, place, Route::ByHand(handler), &mut problems);
        }
        problems.extend(without_endpoint::<E>());
        let inbound = <E::Side as Side>::INBOUND;
        // A side that only asks and sends has no message to handle.
        let expects_messages = inbound.is_empty() || inbound.iter().any(|known| !RESERVED.contains(known));
        if table.is_empty() && problems.is_empty() && expects_messages && no_handlers == NoHandlers::Problem {
            // A linker drops the handlers of a crate that the program does not refer to. The
            // program would then ignore every message.
            let others = inventory::iter::<Registration>.into_iter().count();
            let elsewhere = match others {
                0 => String::new(),
                count => format!("{count} are on other endpoints, so give the right one to `endpoint`; "),
            };
            problems.push(format!(
                "no handler was found: {elsewhere}if they are in another crate, refer to it, as in \
                `use my_handlers as _;`; if handlers are not needed, or are added to each connection, call \
                `without_handlers()`"
            ));
        }
        let is_concurrent = |route: &Route<E>| matches!(route, Route::Annotated(entry) if entry.concurrent > 1);
        let has_concurrent = table.values().any(is_concurrent);
        (Self { table, has_concurrent }, problems)
    }
}

/// Returns the annotated handlers of `E`: those that the compiler knows, and those that `inventory`
/// collects.
///
/// They are sorted, because `inventory` does not promise an order.
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

/// Returns a problem for each handler of a reserved type that does not name an endpoint, if all
/// messages of the program have handlers on endpoints. Such a handler never runs.
fn without_endpoint<E: Endpoint>() -> Vec<String> {
    let stray = annotated::<Untyped>();
    if TypeId::of::<E>() == TypeId::of::<Untyped>() || stray.iter().any(|entry| !RESERVED.contains(&entry.message_type))
    {
        return Vec::new();
    }
    let problem = |entry: &HandlerEntry<Untyped>| {
        let HandlerEntry { message_type, name, file, line, .. } = entry;
        format!(
            "{name} ({file}:{line}) handles {message_type:?} without an endpoint, so it never runs: write \
             `#[wsx::handler({message_type:?}, on = {})]`",
            E::NAME
        )
    };
    stray.iter().map(problem).collect()
}

/// Adds a problem for each argument of a handler that is never available to it.
fn missing_arguments<E: Endpoint>(entry: &HandlerEntry<E>, endpoint: &E, owner: Owner, problems: &mut Vec<String>) {
    let HandlerEntry { name, file, line, .. } = entry;
    if let Some(states) = endpoint.states() {
        for state in entry.states.iter().flatten().filter(|state| !(state.given)(states)) {
            problems.push(format!(
                "{name} ({file}:{line}) takes State<{}>: give it to the builder's `state`",
                (state.name)()
            ));
        }
    }
    if entry.takes_hub && owner == Owner::Client {
        problems.push(format!(
            "{name} ({file}:{line}) takes the hub, which a client does not have: give each end an endpoint of its own"
        ));
    }
}

impl<E> fmt::Debug for Router<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.table.keys()).finish()
    }
}

/// The hash function Fowler–Noll–Vo with 64 bits. Only the program chooses keys, so an attacker
/// cannot choose colliding ones.
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
