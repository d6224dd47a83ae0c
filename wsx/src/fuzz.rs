//! The parts that read what a peer sends, without the sockets and handshakes in front of them, for the fuzzer.
use crate::{
    config::Config,
    connection::Connection,
    dispatch::router::{Router, Scope},
    envelope::head::Head,
    observer::Blind,
    protocol::endpoint::Untyped,
    task::drive,
    task::transport::Raw,
};
use serde::Deserialize;
use std::{borrow::Cow, future::Future, sync::atomic::AtomicU64};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

/// What an envelope says: `ver`, `type`, `ts`, `data`.
pub type Read<'f, T> = (u32, Cow<'f, str>, i64, T);

/// An envelope, read in one pass over its text.
#[must_use]
pub fn one_pass<'f, T: Deserialize<'f>>(text: &'f str) -> Option<Read<'f, T>> {
    let head = Head::quick(text)?;
    Some((head.ver, head.message_type, head.ts, head.data.decode()?))
}

/// An envelope, read in two passes: the text of its data is left to the second.
#[must_use]
pub fn two_passes(text: &str) -> Option<Read<'_, &str>> {
    let head = Head::parse(text).ok()?;
    Some((head.ver, head.message_type, head.ts, head.data))
}

/// A connection of this role behind a finished handshake, as a hub or a client makes it, and what drives it to its end.
/// `early` is what came in right behind the handshake.
pub fn connection<S>(stream: S, role: Role, early: Vec<u8>, config: Config) -> (Connection, impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let conn = Connection::unopened("".into(), role, &config);
    let mut transport = Some(Raw::new(stream, role, early, &config));
    let driven = conn.clone();
    let driving = async move {
        let scope = Scope {
            endpoint: &Untyped::default(),
            hub: None,
            router: &Router::empty(),
            config: &config,
            observer: &Blind,
            ignored: &AtomicU64::new(0),
        };
        drive(&mut transport, &driven, &scope, &CancellationToken::new()).await;
    };
    (conn, driving)
}
