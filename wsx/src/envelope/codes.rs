//! The codes with which wsx reports that a request or a message has failed.

/// No handler takes the type.
pub(crate) const NOT_HANDLED: &str = "not_handled";
/// The data does not fit the type that the handler takes.
pub(crate) const BAD_DATA: &str = "bad_data";
/// The handler returned an error.
pub(crate) const FAILED: &str = "failed";
/// Too many requests of the peer wait.
pub(crate) const BUSY: &str = "busy";
/// The request was not started within its time.
pub(crate) const EXPIRED: &str = "expired";
/// The handler has no reply.
pub(crate) const NO_REPLY: &str = "no_reply";
/// The asking end does not wait any more.
pub(crate) const CANCELLED: &str = "cancelled";

/// All of them.
pub(crate) const ALL: &[&str] = &[NOT_HANDLED, BAD_DATA, FAILED, BUSY, EXPIRED, NO_REPLY, CANCELLED];
