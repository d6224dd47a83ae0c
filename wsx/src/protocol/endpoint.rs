//! A program's end of a conversation: the type on which handlers register, whose value carries their state.
//!
//! Knows no handlers; `handler` ties them to it.
use crate::message::{AnyPeer, AnySide, Side};
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
};

/// A local type on which handlers register with `#[wsx::handler(on = …)]`, and which they take as `&Self`.
///
/// ```
/// #[derive(wsx::Endpoint)]
/// struct Station { name: String }
///
/// #[wsx::handler("hello", on = Station)]
/// fn on_hello(station: &Station, from: String) {
///     println!("{from} greets {}", station.name);
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a wsx endpoint",
    label = "not an endpoint",
    note = "an endpoint is a struct of this program with `#[derive(wsx::Endpoint)]`",
    note = "a hub or a client is given the endpoint's value itself, neither a reference nor an `Arc`, and shares it with all handlers"
)]
pub trait Endpoint: Sized + Send + Sync + 'static {
    /// The side of the conversation that this endpoint speaks for.
    type Side: Side;
    /// The side that it speaks to.
    type Peer: Send + Sync + 'static;
    /// As written in the program; start-up errors name it.
    const NAME: &'static str;
    /// The module that declares it, whose first part is its crate.
    #[doc(hidden)]
    const MODULE: &'static str;
    /// The handlers known through the type system alone, which no linker can drop: a `HandlerEntry<Self>` each.
    #[doc(hidden)]
    fn entries() -> Vec<Box<dyn Any>> {
        Vec::new()
    }
    /// Whether state is given by type, which only [`Untyped`] does.
    #[doc(hidden)]
    fn states(&self) -> Option<&States> {
        None
    }
}

/// Where handlers without `on = …` register. Its state is given by type, with `HubBuilder::state`, and taken
/// as [`State<T>`](crate::State).
///
/// A program that is both ends of a conversation needs an endpoint for each: a handler here runs at both.
#[derive(Debug, Default)]
pub struct Untyped(pub(crate) States);

impl Endpoint for Untyped {
    type Side = AnySide;
    type Peer = AnyPeer;
    const NAME: &'static str = "Untyped";
    const MODULE: &'static str = module_path!();
    fn states(&self) -> Option<&States> {
        Some(&self.0)
    }
}

/// One value of each type.
#[derive(Default)]
#[doc(hidden)]
pub struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    pub(crate) fn contains(&self, id: TypeId) -> bool {
        self.0.contains_key(&id)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states", self.0.len())
    }
}
