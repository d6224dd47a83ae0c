//! What generated code calls. It is not for users, and it has no stable shape.
mod argument;
mod compile_time_check;
mod constant;
mod decoding;
mod entry;
mod fingerprint;
mod handler_return;
mod key;
mod probe;
mod shown;

#[cfg(feature = "__internals")]
pub use crate::internals::Bench;
pub use crate::{
    dispatch::{
        context::{Context, FromContext, ViaContext, ViaPayload},
        registration::{Call, HandledOnceBy, HandlerEntry, Outcome, Registration, StateKey},
    },
    envelope::{
        Envelope, SentBy,
        incoming::Incoming,
        reply::{HandlerResult, IntoReply},
    },
    error::HandlerError,
    message::{Derived, Message},
    protocol::side::Declared,
    protocol::{
        AnyPeer, AnySide, Description, MessageType, Receives, Side, Travel,
        endpoint::{Endpoint, IntoEndpoint, Untyped},
    },
    server::hub::Hub,
    wire::{role::Role, write::Frame},
};
pub use argument::{Handling, NotHandling, Refused};
pub use compile_time_check::{
    SpeaksWith, ensure, ensure_connection, ensure_inbound, ensure_peer, ensure_type, ensure_unique, is_endpoint,
    is_message, is_side, receives,
};
pub use constant::{any, first, found, is_among, is_some, position, repeats, same, same_crate};
pub use decoding::{Decoding, NotDecoding};
pub use entry::{Covers, ReservedProbe, Unhandled, list, listed, mistaken};
pub use fingerprint::{Above, Depth, Full, Inside, Lowest, Seen, Shape, fingerprint, found_or, mix};
pub use handler_return::{Returned, Unanswered, ViaNone, ViaReply, no_reply, reply};
pub use inventory;
pub use key::{
    At, CloseKey, HandledAnyway, If, Keyed, NoKey, NotAMessage, Nothing, OpenKey, RawKey, Spelled, UnknownKey, Wrapper,
    Wraps, rest,
};
pub use probe::{Plain, Probe};
pub use serde_json;
pub use shown::{NotShown, Shown, show};
pub use std::{
    any::{Any, TypeId},
    boxed::Box,
    clone::Clone,
    concat, file,
    fmt::{Debug, Formatter, Result as FmtResult},
    line,
    marker::Copy,
    module_path,
    option::Option,
    primitive::{bool, str, u32, u64},
    result::Result,
    vec::Vec,
};

/// For `tests/fuzz`.
#[cfg(feature = "__internals")]
pub mod fuzz {
    pub use crate::internals::{Read, client_handshake, connection, destination, one_pass, two_passes};
}
