//! What the compiler checks: the sides of a protocol, and the endpoint on which handlers register.
pub(crate) mod description;
pub(crate) mod endpoint;
pub(crate) mod message_type;
pub(crate) mod side;

pub use description::{Description, Travel};
pub use message_type::MessageType;
pub use side::{AnyPeer, AnySide, Receives, Side};
