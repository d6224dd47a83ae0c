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
    /// The send queue has no room, or [`Config::max_requests`](crate::Config::max_requests) wait. A
    /// send that waits does not return this.
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
    /// Another node has this connection, and cannot be reached. The message was not sent.
    #[cfg(feature = "nats")]
    #[error("the node that has this connection cannot be reached: NATS is down")]
    NodeUnreachable,
    /// Another node has this connection, and did not confirm the message in time. The message may
    /// have been sent. If it is sent again, the peer may get it twice.
    #[cfg(feature = "nats")]
    #[error("the node that has this connection did not confirm the message, which may have been sent")]
    Unconfirmed,
    /// Another node has this connection, and the message is longer than one packet of NATS may be.
    /// Raise `max_payload` in the configuration of NATS. The message was not sent.
    #[cfg(feature = "nats")]
    #[error("a packet of NATS carries at most {maximum} bytes, and this one has {bytes}: raise `max_payload` of NATS")]
    TooLong {
        /// The length of the packet with the message, in bytes.
        bytes: usize,
        /// The longest packet, in bytes.
        maximum: usize,
    },
}
