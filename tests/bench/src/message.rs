//! The messages that the load sends, and the replies that it expects.
use serde::Deserialize;
use serde_json::Value;
use std::{
    fmt::Write,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

/// What a server's handler does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sends its data back unchanged.
    Telemetry,
    /// Decodes it into eight fields, and sends them back.
    Reading,
    /// Sends it to everyone.
    Publish,
}

impl Kind {
    pub(crate) fn type_string(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Reading => "reading",
            Self::Publish => "publish",
        }
    }
}

/// Time stamp of the messages: 2024-11-30. A reply has its own time, which has as many decimal
/// digits.
const SENT_AT: u64 = 1_732_969_200;

/// A batch of numbered messages of one length, as frames of a client, and the expected replies of a
/// server.
#[derive(Debug)]
pub(crate) struct Script {
    /// The masked frames, one after the other.
    pub(crate) frames: Rc<[u8]>,
    /// The number of frames.
    pub(crate) batch: u32,
    pub(crate) expected: Expected,
}

impl Script {
    /// `length` is the length of a message's text, including the envelope.
    pub(crate) fn new(kind: Kind, length: usize, batch: u32) -> Self {
        let data: Vec<String> = (0..batch).map(|number| data(kind, length, number)).collect();
        let mut frames = Vec::new();
        for data in &data {
            let text = format!(r#"{{"ver":1,"type":"{}","ts":{SENT_AT},"data":{data}}}"#, kind.type_string());
            assert_eq!(text.len(), length, "a message has the length of its workload");
            push_frame(&mut frames, text.as_bytes());
        }
        Self { frames: frames.into(), batch, expected: Expected::new(kind, length, &data) }
    }
}

/// Returns the data for an envelope of this length.
fn data(kind: Kind, length: usize, number: u32) -> String {
    // The same number of digits for every number of a batch.
    let number = 1000 + number;
    let around = format!(r#"{{"ver":1,"type":"{}","ts":{SENT_AT},"data":}}"#, kind.type_string()).len();
    let room = length - around;
    let mut data = match kind {
        Kind::Reading => {
            format!(r#"{{"id":"b-17","n":{number},"t":21.5,"h":48,"v":3.29,"ok":true,"e":-7,"note":""#)
        }
        Kind::Telemetry | Kind::Publish => {
            // Dense like telemetry: many short values.
            let mut data = format!(r#"{{"n":{number},"at":["#);
            let sample = r#"{"c":21.5,"h":48,"ok":true},"#;
            while data.len() + sample.len() + r#"0],"note":""}"#.len() < room {
                data.push_str(sample);
            }
            data.push_str(r#"0],"note":""#);
            data
        }
    };
    let filler = room.checked_sub(data.len() + 2).expect("a workload's length has room for its fields");
    data.extend("telemetry ".chars().cycle().take(filler));
    data.push_str("\"}");
    data
}

/// RFC 6455, section 5.2, with the mask that a client has to use. All frames share one key, which a
/// server cannot notice.
fn push_frame(out: &mut Vec<u8>, text: &[u8]) {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    push_header(out, text.len(), 0x80);
    out.extend(KEY);
    out.extend(text.iter().zip(KEY.into_iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// FIN and the opcode for text, then the length in its shortest form.
fn push_header(out: &mut Vec<u8>, length: usize, masked: u8) {
    out.push(0x81);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => out.push(masked | length),
        (_, Ok(length)) => {
            out.push(masked | 126);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
}

/// The frames of the replies. They are all of one length, because a server writes the fields that
/// it received.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The start of every reply: the header, and the text up to the time.
    start: Vec<u8>,
    header: usize,
    /// Length of header and text.
    length: usize,
    message_type: &'static str,
    data: Vec<Value>,
}

/// A wrong reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

impl Expected {
    fn new(kind: Kind, length: usize, data: &[String]) -> Self {
        let mut start = Vec::new();
        push_header(&mut start, length, 0);
        let header = start.len();
        let message_type = kind.type_string();
        start.extend(format!(r#"{{"ver":1,"type":"{message_type}","ts":"#).bytes());
        let data = data.iter().map(|data| serde_json::from_str(data).expect("JSON as written above")).collect();
        Self { start, header, length: header + length, message_type, data }
    }

    /// Checks the whole text of a reply.
    fn check(&self, text: &[u8], number: usize) -> Result<(), Wrong> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Reply {
            ver: u32,
            r#type: String,
            ts: u64,
            data: Value,
        }
        let shown = || String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        let reply: Reply = serde_json::from_slice(text).map_err(|error| Wrong(format!("{error} in {}", shown())))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // A delay of minutes is a stuck server, which the time limits detect. The time in the
        // message itself is years old.
        let fresh = reply.ts.abs_diff(now) < 600;
        if reply.ver == 1 && reply.r#type == self.message_type && fresh && reply.data == self.data[number] {
            return Ok(());
        }
        let mut why = format!("reply {number} should have type {:?}, a fresh time and the data ", self.message_type);
        let _ = write!(why, "{:.100}, and is {}", self.data[number].to_string(), shown());
        Err(Wrong(why))
    }
}

/// Counts and checks the replies of one connection, in any pieces. The first batch is decoded and
/// compared. Of later frames only opcode, length and start are checked, because the load must cost
/// less than any server.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// Bytes of the current frame that have arrived.
    at: usize,
    /// Replies that have been decoded.
    decoded: usize,
    /// The current frame, while whole frames are checked.
    frame: Vec<u8>,
}

impl Replies {
    /// Takes bytes that were read. Returns how many replies they complete.
    pub(crate) fn take(&mut self, mut bytes: &[u8], expected: &Expected) -> Result<u32, Wrong> {
        let mut complete = 0;
        while !bytes.is_empty() {
            if let Some(left) = expected.start.get(self.at..)
                && !left.iter().zip(bytes).all(|(wanted, got)| wanted == got)
            {
                return Err(self.misfit(bytes, expected));
            }
            let (now, later) = bytes.split_at(bytes.len().min(expected.length - self.at));
            bytes = later;
            self.at += now.len();
            if self.decoded < expected.data.len() {
                self.frame.extend_from_slice(now);
            }
            if self.at < expected.length {
                break;
            }
            self.at = 0;
            complete += 1;
            if self.decoded < expected.data.len() {
                expected.check(&self.frame[expected.header..], self.decoded)?;
                self.decoded += 1;
                self.frame.clear();
                if self.decoded == expected.data.len() {
                    // Thousands of connections have one each.
                    self.frame = Vec::new();
                }
            }
        }
        Ok(complete)
    }

    #[cold]
    fn misfit(&self, bytes: &[u8], expected: &Expected) -> Wrong {
        if self.at == 0 && bytes[0] == 0x88 {
            let reason = String::from_utf8_lossy(bytes.get(4..).unwrap_or_default());
            let code = bytes.get(2..4).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
            return Wrong(format!("the server closes the connection with {code} {reason:?}"));
        }
        let wanted = &expected.start[self.at..];
        let got = &bytes[..bytes.len().min(wanted.len())];
        Wrong(format!("a frame should go on with {:?}, and does with {:?}", lossy(wanted), lossy(got)))
    }
}

fn lossy(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the frames of a correct server.
    fn answers(script: &Script) -> Vec<Vec<u8>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let Expected { message_type, data, .. } = &script.expected;
        data.iter()
            .map(|data| {
                let text = format!(r#"{{"ver":1,"type":"{message_type}","ts":{now},"data":{data}}}"#);
                let mut frame = Vec::new();
                push_header(&mut frame, text.len(), 0);
                frame.extend(text.bytes());
                frame
            })
            .collect()
    }

    fn scripts() -> impl Iterator<Item = Script> {
        [
            (Kind::Telemetry, 128),
            (Kind::Reading, 128),
            (Kind::Publish, 200),
            (Kind::Reading, 2048),
            (Kind::Telemetry, 70_000),
        ]
        .into_iter()
        .map(|(kind, length)| Script::new(kind, length, 3))
    }

    #[test]
    fn messages_are_masked_frames_of_their_length() {
        for script in scripts() {
            let first = &script.frames[..script.frames.len() / 3];
            let header = script.expected.header;
            assert_eq!((first[0], first[1] & 0x80), (0x81, 0x80));
            assert_eq!(first.len(), script.expected.length + 4);
            let key = &first[header..header + 4];
            let text: Vec<u8> =
                first[header + 4..].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            assert!(text.starts_with(&script.expected.start[header..]), "{}", lossy(&text));
            serde_json::from_slice::<Value>(&text).unwrap();
        }
    }

    #[test]
    fn replies_are_counted_however_they_are_cut() {
        for script in scripts() {
            let stream = [answers(&script).concat(), answers(&script).concat()].concat();
            for piece in [1, 2, 3, 50, 1000, stream.len()] {
                let mut replies = Replies::default();
                let counted: u32 =
                    stream.chunks(piece).map(|bytes| replies.take(bytes, &script.expected).unwrap()).sum();
                assert_eq!(counted, 6);
            }
        }
    }

    #[test]
    fn a_wrong_first_reply_is_rejected() {
        let script = Script::new(Kind::Telemetry, 128, 2);
        let frames = answers(&script);
        let changed = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(&frames[0][2 + 2..]).replace(from, to);
            let mut frame = Vec::new();
            push_header(&mut frame, text.len(), 0);
            frame.extend(text.bytes());
            Replies::default().take(&frame, &script.expected)
        };
        assert_eq!(changed("x", "x"), Ok(1));
        for (from, to) in
            [("21.5", "21.6"), ("telemetry\",", "telemetri\","), ("1000", "1001"), ("\"ver\":1", "\"ver\":2")]
        {
            assert!(changed(from, to).is_err(), "{from} became {to}");
        }
        // Out of order.
        assert!(Replies::default().take(&frames[1], &script.expected).is_err());
        // The message itself, with its old time.
        let echo = String::from_utf8_lossy(&frames[0][4..]).into_owned();
        let at = echo.find("\"ts\":").unwrap() + 5;
        assert!(changed(&echo[at..at + 10], "1732969200").is_err());
    }

    #[test]
    fn a_wrong_later_reply_is_rejected() {
        let script = Script::new(Kind::Telemetry, 128, 1);
        let frame = answers(&script).remove(0);
        for (at, byte) in [(0, 0x82), (0, 0x01), (0, 0xc1), (0, 0x8a), (1, 125), (3, 127), (10, b'x'), (20, b'x')] {
            let mut replies = Replies::default();
            assert_eq!(replies.take(&frame, &script.expected), Ok(1));
            let mut wrong = frame.clone();
            wrong[at] = byte;
            assert!(replies.take(&wrong, &script.expected).is_err(), "byte {at} as {byte:#x}");
        }
    }

    #[test]
    fn a_close_is_reported_as_a_close() {
        let script = Script::new(Kind::Telemetry, 128, 1);
        let Wrong(why) = Replies::default().take(b"\x88\x04\x03\xf1ab", &script.expected).unwrap_err();
        assert_eq!(why, r#"the server closes the connection with 1009 "ab""#);
    }
}
