//! What the load and a server say to each other: the greeting of a connection, and the messages
//! that it receives. It does not know sockets.
use crate::load::Fault;
use std::str;

/// The text of a message, of a usual length. A message has about 100 bytes, without an envelope.
pub(super) const TEXT: &str = "the pump of the north basin runs at 1,450 rpm, and its outlet has a pressure of 3 bar";

/// The key of all masks, which a server cannot notice.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The language of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The envelope of wsx.
    Wsx,
    /// Version 5 of the protocol of Socket.IO, on version 4 of the one of Engine.IO.
    SocketIo,
}

/// What the load does with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// It answers with this frame.
    Answer(Vec<u8>),
    /// The connection is open, and has this id.
    Open(String),
    /// The message with this number has arrived.
    Message(u64),
}

impl Dialect {
    /// Returns the path and the query of the upgrade request. A connection of wsx names its id.
    pub(super) fn target(self, id: &str) -> String {
        match self {
            Self::Wsx => format!("/ws?id={id}"),
            Self::SocketIo => "/socket.io/?EIO=4&transport=websocket".into(),
        }
    }

    /// Whether a connection is open after its handshake.
    pub(super) fn is_open_at_once(self) -> bool {
        self == Self::Wsx
    }

    /// Reads the payload of a frame of text.
    pub(super) fn read(self, text: &[u8]) -> Result<Step, Fault> {
        if let Some(n) = self.number(text) {
            return Ok(Step::Message(n));
        }
        let step = match (self, text) {
            (Self::SocketIo, b"2") => Some(Step::Answer(frame(0x81, b"3"))),
            // The engine is open. The answer connects to the namespace `/`.
            (Self::SocketIo, [b'0', b'{', ..]) => Some(Step::Answer(frame(0x81, b"40"))),
            (Self::SocketIo, [b'4', b'0', json @ ..]) => id(json).map(Step::Open),
            _ => None,
        };
        step.ok_or_else(|| Fault(format!("a message was not expected: {}", text.escape_ascii())))
    }

    /// Returns the number of a message, if it is one and complete.
    fn number(self, text: &[u8]) -> Option<u64> {
        let text = match self {
            Self::Wsx => {
                digits(text.strip_prefix(br#"{"ver":1,"type":"news","ts":"#)?)?.1.strip_prefix(br#","data":"#)?
            }
            Self::SocketIo => text.strip_prefix(br#"42["news","#)?,
        };
        let (n, rest) = digits(text.strip_prefix(br#"{"n":"#)?)?;
        let rest = rest.strip_prefix(br#","text":""#)?.strip_prefix(TEXT.as_bytes())?;
        let end: &[u8] = if self == Self::Wsx { br#""}}"# } else { br#""}]"# };
        (rest == end).then_some(n)
    }
}

/// Returns the number at the start, and the rest.
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (number, rest) = text.split_at(end);
    Some((str::from_utf8(number).ok()?.parse().ok()?, rest))
}

/// Returns the id of a connection of Socket.IO.
fn id(json: &[u8]) -> Option<String> {
    serde_json::from_slice::<serde_json::Value>(json).ok()?.get("sid")?.as_str().map(str::to_owned)
}

/// Returns a masked frame with a short payload.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).expect("the load sends short frames only")];
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A frame of a server: its first byte, its payload, and its whole length.
pub(super) type Frame<'a> = (u8, &'a [u8], usize);

/// Returns the first frame, or `None` if it is not complete.
pub(super) fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Fault> {
    let [first, length, ..] = *bytes else { return Ok(None) };
    let (start, length) = match length {
        0..=125 => (2, usize::from(length)),
        126 if bytes.len() < 4 => return Ok(None),
        126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        _ => return Err(Fault("a frame is too long, or has a mask".into())),
    };
    Ok(bytes.get(start..start + length).map(|payload| (first, payload, start + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: Dialect, text: &str) -> Result<Step, String> {
        dialect.read(text.as_bytes()).map_err(|Fault(why)| why)
    }

    #[test]
    fn a_message_of_each_dialect_has_its_number() {
        let wsx = format!(r#"{{"ver":1,"type":"news","ts":1732969200,"data":{{"n":17,"text":"{TEXT}"}}}}"#);
        assert_eq!(read(Dialect::Wsx, &wsx), Ok(Step::Message(17)));
        let socket_io = format!(r#"42["news",{{"n":17,"text":"{TEXT}"}}]"#);
        assert_eq!(read(Dialect::SocketIo, &socket_io), Ok(Step::Message(17)));
        for (dialect, other) in [(Dialect::Wsx, socket_io), (Dialect::SocketIo, wsx)] {
            assert!(read(dialect, &other).unwrap_err().contains("was not expected"));
        }
    }

    #[test]
    fn a_changed_message_is_a_fault() {
        let good = format!(r#"42["news",{{"n":17,"text":"{TEXT}"}}]"#);
        for bad in [good.replace("17", ""), good.replace("pump", "bump"), good.replace("]", ""), good + "]"] {
            assert!(read(Dialect::SocketIo, &bad).unwrap_err().contains("was not expected"), "{bad}");
        }
    }

    #[test]
    fn the_greeting_of_socket_io_ends_with_an_id() {
        let opened = read(Dialect::SocketIo, r#"0{"sid":"engine","upgrades":[],"pingInterval":25000}"#);
        assert_eq!(opened, Ok(Step::Answer(frame(0x81, b"40"))));
        assert_eq!(read(Dialect::SocketIo, r#"40{"sid":"x_-1"}"#), Ok(Step::Open("x_-1".into())));
        assert_eq!(read(Dialect::SocketIo, "2"), Ok(Step::Answer(frame(0x81, b"3"))));
        assert!(read(Dialect::SocketIo, r#"44{"message":"no"}"#).is_err());
    }

    #[test]
    fn frames_are_found_at_any_length() {
        assert_eq!(first_frame(&[0x81]).unwrap(), None);
        assert_eq!(first_frame(&[0x81, 2, b'a']).unwrap(), None);
        assert_eq!(first_frame(&[0x81, 2, b'a', b'b', 0x89]).unwrap(), Some((0x81, &b"ab"[..], 4)));
        let long = [&[0x81, 126, 0, 200][..], &[7; 200]].concat();
        assert_eq!(first_frame(&long[..3]).unwrap(), None);
        assert_eq!(first_frame(&long[..203]).unwrap(), None);
        assert_eq!(first_frame(&long).unwrap(), Some((0x81, &[7; 200][..], 204)));
        assert!(first_frame(&[0x81, 127, 0]).is_err());
    }
}
