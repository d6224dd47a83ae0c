//! From a message to its handler: the table of handlers, their arguments, and how a handler runs.
//!
//! The hub and this folder know each other, because a handler may take `&Hub`. Other folders before
//! `server` do not know the hub.
pub(crate) mod arguments;
pub(crate) mod context;
pub(crate) mod program;
pub(crate) mod registration;
pub(crate) mod router;
pub(crate) mod run;
pub(crate) mod versions;
mod watched;

pub use crate::{
    connection::closure_handler::FromMessage, envelope::reply::IntoReply, protocol::handled::HandledOnceBy,
};
pub use context::{Context, FromContext};
