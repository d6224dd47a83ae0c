//! The error of a send. It does not know who sends.
use crate::{error::StoreError, protocol::PeerVersion};

/// An error that a send returns. The message was not queued, except perhaps after
/// `SendError::Unconfirmed`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection has ended or is closing.
    #[error("closed")]
    Closed,
    /// The hub has no connection with this id.
    #[error("no such connection: {0:?}")]
    NoSuchConnection(String),
    /// The client has no connection now: it is reconnecting, or has given up.
    /// [`ClientState`](crate::ClientState) says which.
    #[error("not connected")]
    NotConnected,
    /// The send queue has no room, or [`Config::max_requests`](crate::Config::max_requests)
    /// requests wait. A send that waits for room returns this only for a box of another node: after
    /// 4.5 s, or at once if too many sends of other nodes wait there.
    #[error("the send queue is full, or too many requests wait")]
    Full,
    /// The message has waited for room in the send queue for its `ttl`. Only for a type that
    /// declares one and is delivered at most once.
    #[error("the message has waited for room until its time to live was over")]
    Expired,
    /// The outbox or the mailbox has no room for the message, which would be kept until the peer
    /// has handled it.
    #[error("the outbox or the mailbox is full")]
    OutboxFull,
    /// The store of the outbox or the mailbox could not keep the message.
    #[error("the message could not be stored")]
    Store(#[source] std::sync::Arc<StoreError>),
    /// The connection does not keep messages, because it was made by `Connection::new`.
    #[error("a connection that is not of a hub or a client does not keep messages")]
    NotKept,
    /// The peer speaks a version of the protocol that does not understand this message (row U5 of
    /// the specification). Other messages may still be sent. Only with
    /// [`contract`](crate::server::HubBuilder::contract) of the hub or the client, and not for kept
    /// messages, which wait until the peer understands them.
    #[error("the peer speaks {peer}, which does not understand {message_type:?}")]
    PeerTooOld {
        /// The type of the message.
        message_type: Box<str>,
        /// What the peer speaks.
        peer: Box<PeerVersion>,
    },
    /// The message cannot be written as JSON: its own `Serialize` failed, or a number is NaN or
    /// infinite (row E5 of the specification). The source says which number, as
    /// `readings[3].celsius`.
    #[error("the message cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// `send_bytes` was called with bytes that a text frame must not carry (RFC 6455 section 5.6).
    #[error("a text frame carries UTF-8, and these bytes are not UTF-8: send them with `send_binary`")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// A ping's payload is longer than the 125 bytes that RFC 6455 section 5.5 allows.
    #[error("a ping carries at most 125 bytes, and this one has {0}")]
    PingTooLong(usize),
    /// NATS cannot be reached, and this node does not have a connection with this id. Another node
    /// may have it. The message was not sent.
    #[cfg(feature = "nats")]
    #[error("NATS cannot be reached, and this node does not have the connection: send it again later")]
    NodeUnreachable,
    /// Another node has this connection, and did not confirm the message within 5 s, or NATS was
    /// lost meanwhile. The message may have been sent. If you send it again, the peer may get it
    /// twice.
    #[cfg(feature = "nats")]
    #[error("another node did not confirm the message: it may have been sent, so check before you send it again")]
    Unconfirmed,
    /// The message does not fit into one packet of NATS. It is for a box of another node, or it is
    /// a broadcast of a hub in a cluster. The message was not sent. Raise `max_payload` in the
    /// configuration of NATS, or shorten the message: wsx sends at most 8 MiB.
    #[cfg(feature = "nats")]
    #[error("a packet has {bytes} bytes, and at most {maximum} are allowed: raise `max_payload` of NATS, up to 8 MiB")]
    TooLong {
        /// The length of the packet with the message, in bytes.
        bytes: usize,
        /// The longest packet, in bytes.
        maximum: usize,
    },
}
