//! Handshakes made by hand, at either end: the client's request with the head of its answer, and a server's answer.
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

/// Reads the head of an answer, and nothing after it. Ends early where the stream does.
///
/// # Panics
///
/// When it is not over in time, or is not ASCII.
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

/// The status in the head of an answer.
///
/// # Panics
///
/// When there is none.
#[must_use]
#[track_caller]
pub fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {head:?}"))
}

/// A blocking socket that has sent the request for this target. The answer is still to be read.
///
/// # Errors
///
/// The socket's.
pub fn ask(address: &str, target: &str) -> io::Result<net::TcpStream> {
    let mut tcp = net::TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
    tcp.write_all(upgrade(target, "").as_bytes())?;
    Ok(tcp)
}

/// Reads the answer that accepts the request, and nothing after it.
///
/// # Errors
///
/// The stream's; any other answer, as text.
pub fn accepted(stream: &mut impl Read) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let accepts = head.windows(ACCEPT.len()).any(|part| part == ACCEPT.as_bytes());
    if head.starts_with(b"HTTP/1.1 101 ") && accepts {
        Ok(())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()))
    }
}

/// What makes a request a WebSocket, to be [`completed`].
pub const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: ACCEPT\r\n\r\n";

/// For a server that is made by hand: reads a request, and puts the right key where this answer has `ACCEPT`. `None` when the
/// client has gone.
///
/// # Panics
///
/// When the request is none of a WebSocket's.
pub async fn completed(tcp: &mut TcpStream, answer: &str) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if tcp.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    let request = String::from_utf8(request).expect("a request is ASCII");
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("it has a key");
    Some(answer.replace("ACCEPT", &derive_accept_key(key.as_bytes())))
}
