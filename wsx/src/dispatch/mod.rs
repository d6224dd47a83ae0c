//! From a message to its handler: the table of handlers, their arguments, and how one is run.
//!
//! The hub and this folder know each other, because a handler may take `&Hub`. No other folder before `server` knows the
//! hub.
pub(crate) mod arguments;
pub(crate) mod context;
pub(crate) mod program;
pub(crate) mod registration;
pub(crate) mod router;
pub(crate) mod scope;

pub use crate::{connection::by_hand::FromMessage, envelope::reply::IntoReply};
pub use context::{Context, FromContext};
pub use registration::HandledOnceBy;
