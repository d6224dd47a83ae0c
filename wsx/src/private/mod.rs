//! What generated code calls. It is not for users, and it has no stable shape.
mod compile_time_check;
mod constant;
mod decoding;
mod entry;
mod fingerprint;
#[cfg(feature = "__engine")]
mod handler;
mod key;
mod probe;
mod schema;
mod sent_alone;
mod shown;
mod slot;

#[cfg(feature = "contract")]
pub use crate::contract::SchemaOf;
#[cfg(feature = "__internals")]
pub use crate::internals::Bench;
pub use crate::{
    envelope::{
        AskedBy, Envelope, SentBy,
        keys::{Id, Sent},
    },
    message::{DeclaresKept, DeclaresState, Delivery, Derived, Kept, Message, Policy, State},
    protocol::{
        Answer, AnyPeer, AnySide, Description, MessageType, Receives, Side, Travel,
        answer::{Anything, Mistaken, Replies, RepliesOrRefuses},
        handled::HandledOnceBy,
        side::{Declared, Stray},
    },
};
pub use compile_time_check::{SpeaksWith, ensure, ensure_not_declared, ensure_refusal, ensure_unique};
pub use constant::{any, first, found, is_among, is_one_of, is_some, position, repeats, same, same_crate};
pub use decoding::{Decoding, NotDecoding};
pub use entry::{Covers, mistaken};
pub use fingerprint::{Above, Depth, Full, Inside, Lowest, Seen, Shape, fingerprint, found_or, mix};
#[cfg(feature = "__engine")]
pub use handler::*;
pub use key::{
    At, CloseKey, HandledAnyway, If, Keyed, NoKey, NotAMessage, Nothing, OpenKey, RawKey, Spelled, UnknownKey, Wrapper,
    Wraps, rest,
};
pub use probe::{Plain, Probe};
pub use schema::schemas;
pub use sent_alone::{Sendable, SendsUnasked, SendsWithoutReply};
pub use serde_json;
pub use shown::{NotShown, Shown, show};
pub use slot::{SlotKey, slot};
pub use std::{
    any::{Any, TypeId},
    boxed::Box,
    clone::Clone,
    concat,
    convert::Infallible,
    file,
    fmt::{Debug, Formatter, Result as FmtResult},
    line,
    marker::Copy,
    module_path,
    option::Option,
    primitive::{bool, str, u32, u64},
    result::Result,
    string::String,
    vec::Vec,
};

/// For `tests/fuzz`.
#[cfg(feature = "__internals")]
pub mod fuzz {
    #[cfg(feature = "deflate")]
    pub use crate::internals::deflate;
    pub use crate::internals::{
        Keys, Read, client_handshake, connection, destination, kept_by_client, kept_by_hub, keys_in_one_pass,
        keys_in_two_passes, one_pass, outstanding, sorted, two_passes,
    };
}
