//! What the code that `#[wsx::handler]` and `#[derive(wsx::Endpoint)]` generate calls. It needs the
//! engine.
mod answers;
mod argument;
mod compile_time_check;
mod entry;
mod handler_return;
mod probe;

pub use crate::{
    dispatch::{
        context::{Context, FromContext, ViaContext, ViaPayload},
        registration::{Call, HandlerEntry, Outcome, Registration, StateKey},
    },
    envelope::{
        incoming::Incoming,
        reply::{HandlerResult, IntoReply, ReplyTo},
    },
    error::HandlerError,
    protocol::endpoint::{Endpoint, IntoEndpoint, Untyped},
    server::hub::Hub,
    wire::{role::Role, write::Frame},
};
pub use answers::{Answers, AnswersOrRefuses, Expected, MistakenHandler, RefusingHandler, RequestHandler};
pub use argument::{Handling, NotHandling, Refused};
pub use compile_time_check::{
    ensure_connection, ensure_inbound, ensure_peer, ensure_reply, ensure_type, expecting, is_endpoint, is_message,
    is_side, receives,
};
pub use entry::{ReservedProbe, Unhandled, list, listed};
pub use handler_return::{PlainHandler, Returned, Unanswered, ViaNone, ViaReply, no_reply};
pub use inventory;
pub use probe::PlainArgument;
