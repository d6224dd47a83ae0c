//! One connection of the load: it offers permessage-deflate as a browser does, sends frames that
//! were encoded before, and counts the bytes that it receives.
use crate::{
    load::Fault,
    request::{ACCEPT, upgrade},
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use nix::{
    libc::linger,
    sys::socket::{self, sockopt},
};
use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{SocketAddrV4, TcpStream},
    time::Duration,
};

/// Time without a byte from the server after which a run fails.
const SILENCE: Duration = Duration::from_secs(60);
/// The end of what a flush writes. It is not sent (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The key of all masks, which a server cannot notice.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What the server selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    client_context: bool,
    client_window_bits: u8,
    server_context: bool,
}

impl Agreed {
    /// Reads the answer to a handshake. Returns `None` if it does not select the extension.
    fn parse(answer: &str) -> Option<Self> {
        let answer = answer.to_ascii_lowercase();
        let line = answer.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions:"))?;
        let has = |name: &str| line.split(';').any(|parameter| parameter.trim() == name);
        let bits = line.split(';').find_map(|parameter| parameter.trim().strip_prefix("client_max_window_bits="));
        Some(Self {
            client_context: !has("client_no_context_takeover"),
            client_window_bits: bits.and_then(|bits| bits.parse().ok()).unwrap_or(15),
            server_context: !has("server_no_context_takeover"),
        })
    }
}

/// Frames of a client, each message one.
#[derive(Debug)]
pub(super) struct Frames {
    /// To send once. The others continue their context.
    pub(super) first: Vec<Vec<u8>>,
    /// To send then, as often as one likes.
    pub(super) again: Vec<Vec<u8>>,
}

impl Frames {
    pub(super) fn new(messages: &[&str], agreed: Option<Agreed>) -> Self {
        let Some(Agreed { client_context, client_window_bits, .. }) = agreed else {
            let plain: Vec<_> = messages.iter().map(|message| frame(0x81, message.as_bytes())).collect();
            return Self { first: plain.clone(), again: plain };
        };
        let mut state = Compress::new_with_window_bits(Compression::new(6), false, client_window_bits);
        let mut pass = || {
            let compressed = |message: &&str| {
                if !client_context {
                    state.reset();
                }
                let mut out = Vec::with_capacity(message.len() + 64);
                state.compress_vec(message.as_bytes(), &mut out, FlushCompress::Sync).expect("there is room");
                frame(0xc1, out.strip_suffix(&TAIL).expect("a flush ends so"))
            };
            messages.iter().map(compressed).collect()
        };
        Self { first: pass(), again: pass() }
    }
}

/// Returns a masked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..=125) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => unreachable!("the samples are short"),
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    pub(super) agreed: Option<Agreed>,
    unread: VecDeque<u8>,
    /// Made when it is needed, because there are thousands of connections.
    state: Option<Decompress>,
}

impl Link {
    pub(super) fn open(address: SocketAddrV4) -> Result<Self, Fault> {
        let mut stream = TcpStream::connect(address)?;
        // Closes with a reset, so that no port waits for a minute.
        socket::setsockopt(&stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })
            .map_err(|error| Fault(error.to_string()))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        stream.write_all(upgrade("/ws", offer).as_bytes())?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        let answer = String::from_utf8_lossy(&answer);
        if !answer.starts_with("HTTP/1.1 101 ") || !answer.contains(ACCEPT) {
            return Err(Fault(format!("the handshake failed: {answer}")));
        }
        Ok(Self { stream, agreed: Agreed::parse(&answer), unread: VecDeque::new(), state: None })
    }

    pub(super) fn send(&mut self, frames: &[u8]) -> Result<(), Fault> {
        Ok(self.stream.write_all(frames)?)
    }

    /// Sends a message as it is.
    pub(super) fn send_plain(&mut self, message: &str) -> Result<(), Fault> {
        self.send(&frame(0x81, message.as_bytes()))
    }

    /// Receives this many messages. Returns the number of their bytes on the wire.
    pub(super) fn receive(&mut self, messages: usize) -> Result<usize, Fault> {
        (0..messages).map(|_| Ok(self.frame()?.bytes)).sum()
    }

    /// Receives messages, and inflates them. It has to receive all messages of the connection so
    /// far, because they may continue each other.
    pub(super) fn inflate(&mut self, messages: usize) -> Result<Vec<String>, Fault> {
        let keeps_context = self.agreed.is_some_and(|agreed| agreed.server_context);
        let mut state = self.state.take().unwrap_or_else(|| Decompress::new(false));
        let inflate = |_| {
            let Received { is_compressed, mut payload, .. } = self.frame()?;
            if is_compressed {
                if !keeps_context {
                    state.reset(false);
                }
                payload.extend(TAIL);
                let mut out = Vec::with_capacity(1 << 16);
                state
                    .decompress_vec(&payload, &mut out, FlushDecompress::Sync)
                    .map_err(|error| Fault(error.to_string()))?;
                payload = out;
            }
            String::from_utf8(payload).map_err(|error| Fault(error.to_string()))
        };
        let inflated = (0..messages).map(inflate).collect();
        self.state = Some(state);
        inflated
    }

    /// Receives a frame of data. Others are skipped.
    fn frame(&mut self) -> Result<Received, Fault> {
        loop {
            let [first, short] = self.take(2)?[..] else { unreachable!("two bytes were asked for") };
            let (length, header) = match short {
                126 => (self.take(2)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 4),
                127 => return Err(Fault("a frame is too long".into())),
                short => (usize::from(short), 2),
            };
            let payload = self.take(length)?;
            match first {
                0x81 | 0xc1 | 0x82 | 0xc2 => {
                    return Ok(Received { is_compressed: first & 0x40 != 0, payload, bytes: header + length });
                }
                0x89 | 0x8a => {}
                _ => return Err(Fault(format!("a frame {first:#x} was not expected: {}", payload.escape_ascii()))),
            }
        }
    }

    /// Takes bytes that were received.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        while self.unread.len() < length {
            let mut buffer = [0; 1 << 14];
            match self.stream.read(&mut buffer)? {
                0 => return Err(Fault("the server hangs up".into())),
                read => self.unread.extend(&buffer[..read]),
            }
        }
        Ok(self.unread.drain(..length).collect())
    }
}

/// A received message.
struct Received {
    is_compressed: bool,
    payload: Vec<u8>,
    /// The length of its frame.
    bytes: usize,
}
