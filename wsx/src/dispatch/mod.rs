//! From a message to its handler: the table of handlers, their arguments, and their replies.
pub(crate) mod context;
pub(crate) mod handler;
pub(crate) mod incoming;
pub(crate) mod router;
