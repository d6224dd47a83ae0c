//! The engine without a socket, for the fuzzer and for tests that count allocations or
//! instructions.
//!
//! It is behind the hidden feature `__internals`. It is not for users, and not stable.
#[cfg(feature = "deflate")]
pub mod deflate;

use crate::{
    client::{Client, Destination, handshake, url::Target},
    config::Config,
    connection::queue::{self, Taken},
    connection::{Connection, handle::Handle},
    dispatch::{program::Program, run::Scope},
    envelope::{Outbound, frame::Encode as _, incoming::RawFrame, keys, parse::Parsed, sorted::Sorted},
    error::ConnectError,
    protocol::endpoint::{Endpoint, Untyped},
    server::hub::Hub,
    task::{self, transport::socket::SocketTransport},
    wire::{
        data_message::Received,
        deflate::Agreed,
        read::{Reader, Silence},
        role::Role,
    },
};
use http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};
use serde::Deserialize;
use std::{borrow::Cow, future::Future, task::Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// A hub and one connection that has no task.
#[derive(Debug)]
pub struct Bench<E: Endpoint> {
    /// The hub whose handlers run.
    hub: Hub<E>,
    /// The connection, which is not in the hub.
    conn: Handle,
}

impl<E: Endpoint> Bench<E> {
    /// Returns a bench with a new connection. The connection is not in the hub.
    #[must_use]
    pub fn new(hub: Hub<E>) -> Self {
        Self { hub, conn: Handle::new("".into(), Role::Server, &Config::default()) }
    }

    /// Parses a message, decodes it, and runs its handler to the end. Returns whether the handler
    /// replied.
    pub async fn dispatch(&self, text: &str) -> bool {
        let scope = Scope { program: self.hub.program(), hub: Some(&self.hub) };
        let frame = RawFrame::Text(text.into());
        scope.message(&self.conn, &frame).await.is_some()
    }

    /// Reads all messages in the bytes of a peer. Returns their number.
    #[must_use]
    pub fn read(&self, sent: Vec<u8>) -> usize {
        let mut reader = Reader::new(Role::Server, sent, self.hub.config());
        let mut messages = 0;
        while let Poll::Ready(Ok(Received::Message(message))) = reader.poll(&mut Silence) {
            messages += 1;
            message.recycle();
        }
        reader.shrink();
        messages
    }

    /// Decodes only the payload of an envelope, as for a handler.
    #[must_use]
    pub fn decode<'f, T: Deserialize<'f>>(text: &'f str) -> Option<T> {
        Parsed::by_shortcut(text)?.data.decode()
    }

    /// Encodes the message and queues it, if there is room.
    pub fn queue<M: Outbound>(&self, message: &M) -> bool {
        Connection::<crate::protocol::AnySide>::of(&self.conn).try_send(message).is_ok()
    }

    /// Encodes the message and queues it as the reply of a handler, if there is room.
    pub fn reply<M: Outbound>(&self, message: &M) -> bool {
        message.encode(Role::Server).is_ok_and(|reply| self.conn.queue().try_append(reply.as_bytes()).is_ok())
    }

    /// Takes the queued frames, as the task does before a write. Returns the number of bytes.
    pub fn take(&self) -> usize {
        let mut bytes = 0;
        loop {
            match self.conn.queue().take() {
                Taken::Nothing => return bytes,
                Taken::Flush(_) => {}
                Taken::One(frame) => bytes += frame.len(),
                Taken::Many(batch) => {
                    bytes += batch.len();
                    queue::recycle(batch);
                }
            }
        }
    }

    /// Adds this many connections to the hub.
    #[must_use]
    pub fn join(&self, connections: usize) -> Vec<Connection> {
        let opened =
            |n: usize| self.hub.open(n.to_string().into(), Vec::new(), None, None, |_, _| Ok::<_, ()>(())).ok();
        (0..connections).filter_map(opened).map(Connection::from_handle).collect()
    }

    /// Returns the hub, for a broadcast.
    pub fn hub(&self) -> &Hub<E> {
        &self.hub
    }
}

/// The keys of an envelope: `ver`, `type`, `ts`, `data`.
pub type Read<'f, T> = (u32, Cow<'f, str>, i64, T);

/// Reads an envelope in one pass over its text.
#[must_use]
pub fn one_pass<'f, T: Deserialize<'f>>(text: &'f str) -> Option<Read<'f, T>> {
    let parsed = Parsed::by_shortcut(text)?;
    Some((parsed.ver, parsed.message_type, parsed.ts, parsed.data.decode()?))
}

/// Reads an envelope in two passes. The second one would decode the text of its data.
#[must_use]
pub fn two_passes(text: &str) -> Option<Read<'_, &str>> {
    let parsed = Parsed::parse(text).ok()?;
    Some((parsed.ver, parsed.message_type, parsed.ts, parsed.data))
}

/// The keys of a request or a reply: the JSON of `id` and `re`, `ttl`, and the JSON of `err`.
pub type Keys<'f> = (Option<&'f str>, Option<&'f str>, Option<u64>, Option<&'f str>);

fn json<'f>(keys: &keys::Keys<'f>) -> Keys<'f> {
    (keys.id.map(keys::Id::json), keys.re.map(keys::Id::json), keys.ttl, keys.err)
}

/// Returns the keys of an envelope in one pass over its text.
#[must_use]
pub fn keys_in_one_pass(text: &str) -> Option<Keys<'_>> {
    let parsed = Parsed::by_shortcut(text)?;
    parsed.data.decode::<serde::de::IgnoredAny>()?;
    Some(json(&parsed.keys))
}

/// Returns the keys of an envelope in two passes.
#[must_use]
pub fn keys_in_two_passes(text: &str) -> Option<Keys<'_>> {
    Parsed::parse(text).ok().map(|parsed| json(&parsed.keys))
}

/// Returns how the reader sorts a text, as text.
#[must_use]
pub fn sorted(text: &str) -> String {
    format!("{:?}", Sorted::of(&RawFrame::Text(text.into())))
}

/// Returns a connection after its handshake, as a hub or a client makes it, and the future that
/// runs it to its end.
///
/// `early` has the bytes that arrived together with the end of the handshake.
pub fn connection<S>(stream: S, role: Role, early: Vec<u8>, config: Config) -> (Connection, impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    serve(stream, role, early, config, None)
}

fn serve<S>(
    stream: S,
    role: Role,
    early: Vec<u8>,
    config: Config,
    agreed: Option<Agreed>,
) -> (Connection, impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let conn = Handle::new("".into(), role, &config);
    conn.set_compression(agreed);
    let transport = SocketTransport::with_tcp(stream, |_| None, role, early, &config).inflating(agreed);
    let (mut transport, served) = (Some(transport), conn.clone());
    let serving = async move {
        let program = Program::without_handlers(Untyped::default(), config);
        let scope = Scope { program: &program, hub: None };
        task::run(&mut transport, &served, &scope, &CancellationToken::new()).await;
    };
    (Connection::from_handle(conn), serving)
}

/// Returns how many requests of this end have no outcome yet.
#[must_use]
pub fn outstanding(conn: &Connection) -> usize {
    conn.handle.outstanding_requests()
}

/// Returns how many messages and bytes a hub counts for its bounds, and how many it keeps.
#[must_use]
pub fn kept_by_hub<E: Endpoint>(hub: &Hub<E>) -> [[usize; 2]; 2] {
    hub.program().deliveries.sizes()
}

/// As [`kept_by_hub`], for a client.
#[must_use]
pub fn kept_by_client<E: Endpoint>(client: &Client<E>) -> [[usize; 2]; 2] {
    client.deliveries().sizes()
}

/// Parses the URL of a client. Returns the host and port that the client dials.
///
/// # Errors
///
/// The text of the error that the program gets.
pub fn destination(url: &str) -> Result<Destination, String> {
    Target::parse(url).map(|target| target.destination)
}

/// Makes the handshake of a client with this URL. Returns the bytes after the server's answer.
///
/// `protocols` are the requested subprotocols, as in one header.
///
/// # Errors
///
/// The error that the client gets.
///
/// # Panics
///
/// When [`destination`] rejects the URL.
pub async fn client_handshake<S>(
    stream: &mut S,
    url: &str,
    protocols: Option<&'static str>,
) -> Result<Vec<u8>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let target = Target::parse(url).expect("the URL of the test is valid");
    let protocols = protocols.map(|protocols| (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocols)));
    let headers = HeaderMap::from_iter(protocols);
    let request = handshake::Request { headers: &headers, config: &Config::default(), deadline: None };
    handshake::perform(stream, &target, &request).await.map(|opened| opened.early)
}
