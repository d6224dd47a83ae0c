//! The trait of an endpoint: the type on which handlers register, and whose value is their state.
//! It does not know the handlers; `dispatch` collects them.
use crate::protocol::side::{AnyPeer, AnySide, Side};
use http::Extensions;
use std::{any::Any, fmt};

/// An endpoint: a program's implementation of one side. Handlers register on it with
/// `#[wsx::handler(on = …)]` and take its value as `&Self`.
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
    note = "an endpoint is a struct of this program with `#[derive(wsx::Endpoint)]`"
)]
pub trait Endpoint: IntoEndpoint<Endpoint = Self> + Sized + Send + Sync + 'static {
    /// The side of the protocol that this endpoint implements.
    type Side: Side;
    /// The side at the other end.
    type Peer: Send + Sync + 'static;
    /// The name of the endpoint, as written in the program. A [`BuildError`](crate::BuildError)
    /// contains it.
    const NAME: &'static str;
    /// The module that declares the endpoint. The first part of the path is its crate.
    #[doc(hidden)]
    const MODULE: &'static str;
    /// The handlers that the compiler knows, each a `HandlerEntry<Self>`. A linker cannot drop
    /// them.
    #[doc(hidden)]
    fn entries() -> Vec<Box<dyn Any>> {
        Vec::new()
    }
    /// The state that is selected by its type. Only [`Untyped`] has it.
    #[doc(hidden)]
    fn states(&self) -> Option<&Extensions> {
        None
    }
}

/// A value that a builder takes as its endpoint. The derive of [`Endpoint`] implements it.
///
/// A bound on [`Endpoint`] includes it:
///
/// ```
/// fn quiet_hub<E: wsx::Endpoint>(endpoint: E) -> Result<wsx::Hub<E>, wsx::BuildError> {
///     wsx::Hub::builder().endpoint(endpoint).without_handlers().build()
/// }
/// ```
// A builder's type names the type below. For a value that is not an endpoint, that type is unknown.
// So the compiler reports the value, and not also each later call on the builder.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a wsx endpoint",
    label = "not an endpoint",
    note = "an endpoint is a struct of this program with `#[derive(wsx::Endpoint)]`",
    note = "give a hub or a client the endpoint's value, not a reference or an `Arc`: it shares the value with all handlers"
)]
pub trait IntoEndpoint {
    /// The endpoint: the type itself.
    type Endpoint;
    #[doc(hidden)]
    fn into_endpoint(self) -> Self::Endpoint;
}

/// The endpoint of handlers without `on = …`.
///
/// Its state is given to the builder with [`state`](crate::server::HubBuilder::state), and handlers
/// take it as [`State<T>`](crate::State).
///
/// Its handlers run at every end that uses it. A program that has a hub and a client needs an
/// endpoint for each.
#[derive(Default)]
pub struct Untyped(Extensions);

impl Untyped {
    /// Adds a value. It replaces an earlier value of the same type.
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(value);
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.get()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Untyped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Untyped with {} states", self.0.len())
    }
}

impl IntoEndpoint for Untyped {
    type Endpoint = Self;
    fn into_endpoint(self) -> Self {
        self
    }
}

impl Endpoint for Untyped {
    type Side = AnySide;
    type Peer = AnyPeer;
    const NAME: &'static str = "Untyped";
    const MODULE: &'static str = module_path!();
    fn states(&self) -> Option<&Extensions> {
        Some(&self.0)
    }
}
