//! Handshakes by hand, at either end: a client's request with the HTTP head of its answer, and a
//! server's answer.
use crate::{request::ACCEPT, within};
use std::{
    io::{self, Read, Write},
    net,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

pub use crate::request::upgrade;

/// Reads the HTTP head of an answer, and nothing after it. Returns what it has when the stream ends
/// early.
///
/// # Panics
///
/// When the head is not complete in time, or is not ASCII.
pub async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    within(async {
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { break };
            head.push(byte);
        }
    })
    .await;
    String::from_utf8(head).expect("a head is ASCII")
}

/// Returns the status in the HTTP head of an answer.
///
/// # Panics
///
/// When the head has no status.
#[must_use]
#[track_caller]
pub fn status(head: &str) -> u16 {
    head.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("not an HTTP answer: {head:?}"))
}

/// Returns a blocking socket that has sent the request for this target. The answer is not read yet.
///
/// # Errors
///
/// Errors of the socket.
pub fn ask(address: &str, target: &str) -> io::Result<net::TcpStream> {
    let mut tcp = net::TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
    tcp.write_all(upgrade(target, "").as_bytes())?;
    Ok(tcp)
}

/// Reads the answer 101 to the request, and nothing after it.
///
/// # Errors
///
/// Errors of the stream. Any other answer is an error with its head as text.
pub fn accepted(stream: &mut impl Read) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let accepts = head.windows(ACCEPT.len()).any(|window| window == ACCEPT.as_bytes());
    if head.starts_with(b"HTTP/1.1 101 ") && accepts {
        Ok(())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()))
    }
}

/// The answer of a server that accepts the request, for [`completed`].
pub const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: ACCEPT\r\n\r\n";

/// For a server made by hand: reads a request, and returns `answer` with the right key in place of
/// `ACCEPT`. Returns `None` when the client has closed the connection.
///
/// # Panics
///
/// When the request is not a WebSocket upgrade.
pub async fn completed(tcp: &mut TcpStream, answer: &str) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if tcp.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    let request = String::from_utf8(request).expect("a request is ASCII");
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("the request has a key");
    Some(answer.replace("ACCEPT", &derive_accept_key(key.as_bytes())))
}
