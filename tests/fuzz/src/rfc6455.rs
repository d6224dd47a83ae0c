//! A reader of frames, written from RFC 6455 and from nothing else. It is slow, and each step names
//! its section.
use crate::{
    frame::{BINARY, CLOSE, Frame, PING, PONG, TEXT},
    inflate::is_rejected,
    rfc1951::{Broken, Inflate},
};

const CONTINUATION: u8 = 0;
const RSV1: u8 = 0b0100_0000;

/// The content of a peer's bytes, up to the first violation, close, or end.
#[derive(Debug)]
pub(crate) struct Content {
    /// Whole messages, with the opcode of their first frame.
    pub(crate) messages: Vec<Frame>,
    pub(crate) pings: Vec<Vec<u8>>,
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) end: End,
}

#[derive(Debug, PartialEq)]
pub(crate) enum End {
    /// The peer closed with this code; 1005 means without a code.
    Closed(u16),
    /// The peer's bytes are rejected with this code.
    Rejected(u16),
    /// The bytes end without a close frame.
    Lost,
}

struct Header {
    fin: bool,
    reserved: u8,
    opcode: u8,
    masked: bool,
    /// The number of bytes that the length has after its first seven bits.
    extended: usize,
    length: u64,
    key: [u8; 4],
}

/// Reads the bytes that a peer sent. `masked` is whether the peer is a client. `longest` is the
/// longest message in bytes that the program accepts. `inflate` reads its compressed messages, if
/// both ends agreed on that.
pub(crate) fn read(mut bytes: &[u8], masked: bool, longest: usize, mut inflate: Option<Inflate>) -> Content {
    let mut content = Content { messages: Vec::new(), pings: Vec::new(), pongs: Vec::new(), end: End::Lost };
    // The message of which the last fragment is missing.
    let mut message: Option<Frame> = None;
    let mut is_compressed = false;
    while let Some(mut header) = take_header(&mut bytes) {
        // RFC 7692 section 6: RSV1 of the first frame says that the message is compressed.
        if inflate.is_some() && header.reserved == RSV1 && [TEXT, BINARY].contains(&header.opcode) {
            header.reserved = 0;
            is_compressed = true;
        } else if header.opcode == TEXT || header.opcode == BINARY {
            is_compressed &= message.is_some();
        }
        if is_forbidden(&header, masked, message.is_some()) {
            content.end = End::Rejected(1002);
            break;
        }
        let before = message.as_ref().map_or(0, |message| message.payload.len());
        // What is compressed may be a little longer than the message.
        let most = if is_compressed { longest + longest / 16 + 64 } else { longest };
        if header.opcode < CLOSE && header.length + before as u64 > most as u64 {
            content.end = End::Rejected(1009);
            break;
        }
        let Some(payload) = take_payload(&mut bytes, &header) else { break };
        match header.opcode {
            PING => content.pings.push(payload),
            PONG => content.pongs.push(payload),
            CLOSE => {
                content.end = close(&payload);
                break;
            }
            opcode => {
                // Section 5.4: the payloads are joined, and the first frame has the opcode.
                let message_so_far = message.get_or_insert(Frame { opcode, payload: Vec::new() });
                message_so_far.payload.extend(payload);
                if header.fin && is_compressed {
                    let inflate = inflate.as_mut().expect("the bit was checked");
                    let length = message_so_far.payload.len();
                    match inflate.message(&message_so_far.payload, longest) {
                        Ok(inflated) if !is_rejected(&inflated, length) => message_so_far.payload = inflated.bytes,
                        result => {
                            let is_long = matches!(result, Err(Broken::TooLong));
                            content.end = End::Rejected(if is_long { 1009 } else { 1007 });
                            break;
                        }
                    }
                }
                let is_checked = header.fin || !is_compressed;
                if is_checked && message_so_far.opcode == TEXT && is_broken_text(&message_so_far.payload, header.fin) {
                    content.end = End::Rejected(1007);
                    break;
                }
                if header.fin {
                    content.messages.extend(message.take());
                }
            }
        }
    }
    content
}

/// Section 5.2: the layout of a header. `None` if its end is missing.
fn take_header(bytes: &mut &[u8]) -> Option<Header> {
    let mut rest = bytes.iter().copied();
    let (first, second) = (rest.next()?, rest.next()?);
    let (mut extended, mut length) = (0, u64::from(second & 0b0111_1111));
    if length == 126 {
        extended = 2;
    } else if length == 127 {
        extended = 8;
    }
    if extended > 0 {
        length = 0;
        for _ in 0..extended {
            length = length << 8 | u64::from(rest.next()?);
        }
    }
    let masked = second & 0b1000_0000 != 0;
    let mut key = [0; 4];
    if masked {
        for byte in &mut key {
            *byte = rest.next()?;
        }
    }
    *bytes = &bytes[bytes.len() - rest.len()..];
    Some(Header {
        fin: first & 0b1000_0000 != 0,
        reserved: first & 0b0111_0000,
        opcode: first & 0b0000_1111,
        masked,
        extended,
        length,
        key,
    })
}

/// Whether the header alone violates the RFC.
fn is_forbidden(header: &Header, masked: bool, within_message: bool) -> bool {
    let is_control = [CLOSE, PING, PONG].contains(&header.opcode);
    let is_message = [TEXT, BINARY].contains(&header.opcode);
    // Section 5.2: extensions define reserved bits and other opcodes. None was negotiated.
    let undefined = header.reserved != 0 || !(is_control || is_message || header.opcode == CONTINUATION);
    // Section 5.1: a client masks, and a server does not.
    let wrong_mask = header.masked != masked;
    // Section 5.2: the minimal number of bytes, and a most significant bit of 0.
    let wrong_length = match header.extended {
        0 => false,
        2 => header.length < 126,
        _ => header.length < 65536 || header.length >= 1 << 63,
    };
    // Section 5.5: a control frame has at most 125 bytes, and is not fragmented.
    let wrong_control = is_control && (header.length > 125 || !header.fin);
    // Section 5.4: fragments of two messages are not interleaved.
    let wrong_order = if within_message { is_message } else { header.opcode == CONTINUATION };
    undefined || wrong_mask || wrong_length || wrong_control || wrong_order
}

/// Section 5.3: byte i is masked with byte i modulo 4 of the key. `None` if a byte is missing.
fn take_payload(bytes: &mut &[u8], header: &Header) -> Option<Vec<u8>> {
    let (payload, rest) = bytes.split_at_checked(usize::try_from(header.length).ok()?)?;
    *bytes = rest;
    Some(payload.iter().enumerate().map(|(i, byte)| byte ^ header.key[i % 4]).collect())
}

/// Section 8.1: text is UTF-8. wsx checks the part of a message that has arrived after each
/// fragment, which may end within a character.
fn is_broken_text(text: &[u8], complete: bool) -> bool {
    match std::str::from_utf8(text) {
        Ok(_) => false,
        Err(error) => complete || error.error_len().is_some(),
    }
}

/// Section 5.5.1: a close frame is empty, or has a code and a reason in UTF-8. Section 7.4 and the
/// registry of the IANA say which codes there are.
fn close(payload: &[u8]) -> End {
    match payload {
        [] => End::Closed(1005),
        [_] => End::Rejected(1002),
        [high, low, reason @ ..] => {
            let code = u16::from(*high) * 256 + u16::from(*low);
            let registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
            if !registered.contains(&code) && !(3000..5000).contains(&code) {
                End::Rejected(1002)
            } else if std::str::from_utf8(reason).is_err() {
                End::Rejected(1007)
            } else {
                End::Closed(code)
            }
        }
    }
}
