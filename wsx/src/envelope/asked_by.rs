//! The messages that are requests, with their replies. It does not know who sends them.
use crate::{envelope::Outbound, message::Message};
use serde::de::DeserializeOwned;
use std::convert::Infallible;

/// A message with which the side `S` may ask the side `To`. The protocol decides this, and names
/// the reply.
///
/// Such a message is a request. It is not sent by itself, and the handler of a request returns its
/// reply.
///
/// ```
/// # use wsx::envelope::AskedBy;
/// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// # struct Reboot { delay_s: u32 }
/// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// # struct Rebooted { uptime_s: u64 }
/// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// # struct RebootRefused { why: String }
/// wsx::protocol! {
///     Fleet v1 {
///         Server -> Edge: Reboot -> Rebooted | RebootRefused;
///     }
/// }
///
/// fn uptime(reply: <Reboot as AskedBy<Server, Edge>>::Reply) -> u64 {
///     reply.uptime_s
/// }
/// # assert_eq!(uptime(Rebooted { uptime_s: 3 }), 3);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request from `{S}` to `{To}`",
    label = "not a request",
    note = "a request names its reply in the `wsx::protocol!` block, as in `{S} -> {To}: {Self} -> Done;`",
    note = "without a protocol, name the reply where you ask: `request_as::<Done>(..)`"
)]
pub trait AskedBy<S, To>: Outbound {
    /// The reply to the request.
    type Reply: Message + DeserializeOwned;
    /// The message with which the peer may refuse the request, or [`Infallible`] if the protocol
    /// does not name one.
    type Refusal: Refusal;
}

/// A message with which a peer may refuse a request. [`Infallible`] means that
/// the protocol does not name one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message that can be received",
    label = "not a message with `Deserialize`",
    note = "add `#[derive(serde::Deserialize, wsx::Message)]` to `{Self}`"
)]
pub trait Refusal: Sized {
    /// Decodes the refusal, if the code of the failure is its type.
    #[doc(hidden)]
    fn decode(code: &str, data: &str) -> Option<serde_json::Result<Self>>;
}

impl Refusal for Infallible {
    fn decode(_: &str, _: &str) -> Option<serde_json::Result<Self>> {
        None
    }
}

impl<M: Message + DeserializeOwned> Refusal for M {
    fn decode(code: &str, data: &str) -> Option<serde_json::Result<Self>> {
        (code == M::TYPE).then(|| serde_json::from_str(data))
    }
}
