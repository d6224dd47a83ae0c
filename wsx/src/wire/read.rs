//! Messages out of the bytes that come in (RFC 6455 section 5).
//!
//! Nearly every message is one whole data frame. It is unmasked here while it is copied out of what was read, into memory
//! of its own: one pass, and nothing is kept for a connection that is silent. Every other frame, be it control or fragment,
//! goes through tungstenite, one at a time. What is against the RFC by its header alone is refused at that. Knows bytes, and no
//! socket.
use crate::{
    config::Config,
    wire::{
        header::{Header, MAX_HEADER, Opcode},
        input::Input,
        mask::mask,
        message::{Message, Received},
        tungstenite::{Forwarded, Tungstenite, Unread},
    },
};
use std::{
    io,
    task::{Poll, ready},
};
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError, protocol::Role};

/// A message that has not come whole gets memory for so many times what has come, its declared length at the most: a
/// header is cheap to send, and memory that is never written costs no more than its address.
const MAX_RESERVED_RATIO: usize = 16;

/// Where bytes come from, and where tungstenite's answers go, during one poll.
pub(crate) trait Link {
    /// 0 is the end.
    fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Whether there was room for this control frame.
    fn answer(&mut self, frame: &[u8]) -> bool;
}

/// Where in a frame the reader stands.
enum State {
    /// At its beginning; `read` bytes of the header are in `Reader::header`.
    Header { read: usize },
    /// In the payload of a message that is one frame.
    Message { header: Header, payload: Vec<u8>, missing: usize },
    /// In a frame that tungstenite reads.
    Forwarded(Forwarded),
}

/// Reads the messages of one connection.
pub(crate) struct Reader {
    role: Role,
    max_message_size: usize,
    input: Input,
    state: State,
    header: [u8; MAX_HEADER],
    /// Between the first and the last fragment of a message.
    fragmented: bool,
    /// Made for the first frame that needs it, which many connections never see.
    tungstenite: Option<Box<Tungstenite>>,
}

impl Reader {
    /// `early` is what came right behind the handshake.
    pub(crate) fn new(role: Role, early: Vec<u8>, config: &Config) -> Self {
        Self {
            role,
            max_message_size: config.max_message_size,
            input: Input::with_bytes(early),
            state: State::Header { read: 0 },
            header: [0; MAX_HEADER],
            fragmented: false,
            tungstenite: None,
        }
    }

    /// The next message or control frame. After an error, or a close frame, there is none.
    pub(crate) fn poll(&mut self, link: &mut impl Link) -> Poll<Result<Received, Error>> {
        if let Some(tungstenite) = self.tungstenite.as_mut().filter(|tungstenite| tungstenite.has_answer) {
            tungstenite.flush_answers(link);
        }
        loop {
            match &mut self.state {
                State::Header { .. } => match self.next_header() {
                    Some(header) => self.begin_frame(header)?,
                    None => ready!(self.poll_fill(link))?,
                },
                State::Message { header, payload, missing } => {
                    let start = payload.len();
                    let bytes = self.input.take(*missing);
                    payload.extend_from_slice(bytes);
                    if header.masked {
                        let mut key = header.mask_key;
                        key.rotate_left(start % 4);
                        mask(&mut payload[start..], key);
                    }
                    *missing -= bytes.len();
                    if *missing == 0 {
                        let (text, payload) = (header.opcode() == Opcode::TEXT, std::mem::take(payload));
                        self.state = State::Header { read: 0 };
                        return Poll::Ready(message(text, payload));
                    }
                    ready!(self.poll_fill(link))?;
                }
                State::Forwarded(frame) => {
                    let tungstenite = self
                        .tungstenite
                        .get_or_insert_with(|| Box::new(Tungstenite::new(self.role, self.max_message_size)));
                    let mut frame = Unread { frame, header: &self.header, input: &mut self.input };
                    let received = ready!(tungstenite.poll_frame(&mut frame, link));
                    self.state = State::Header { read: 0 };
                    if let Some(received) = received {
                        return Poll::Ready(received);
                    }
                }
            }
        }
    }

    /// The task waits: nothing is kept that it does not need meanwhile.
    pub(crate) fn shrink(&mut self) {
        self.input.shrink();
    }

    fn poll_fill(&mut self, link: &mut impl Link) -> Poll<Result<(), Error>> {
        match ready!(self.input.poll_fill(|into| link.poll_read(into)))? {
            0 => Poll::Ready(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The next header, if all of it has been read. Its bytes are in `self.header` then, and no longer in the input.
    fn next_header(&mut self) -> Option<Header> {
        let State::Header { read } = &mut self.state else { return None };
        let rest = self.input.unread();
        let more = rest.len().min(MAX_HEADER - *read);
        self.header[*read..*read + more].copy_from_slice(&rest[..more]);
        let header = Header::parse(&self.header[..*read + more]);
        let used = header.as_ref().map_or(more, |header| header.size - *read);
        *read += used;
        self.input.take(used);
        header
    }

    /// Whose the frame behind this header is.
    fn begin_frame(&mut self, header: Header) -> Result<(), Error> {
        let whole = header.is_whole_message() && !self.fragmented;
        let fits = usize::try_from(header.payload_length).ok().filter(|length| *length <= self.max_message_size);
        self.state = match fits {
            Some(length) if whole && header.masked == (self.role == Role::Server) => {
                let mut payload = Message::memory(length);
                payload.reserve_exact(length.min(MAX_RESERVED_RATIO * self.input.unread().len()));
                State::Message { header, payload, missing: length }
            }
            _ => {
                if let Some(violation) = header.violation(self.role, self.fragmented) {
                    return Err(Error::Protocol(violation));
                }
                if header.is_data() {
                    self.fragmented = !header.is_final();
                }
                State::Forwarded(Forwarded::new(header.size, header.payload_length))
            }
        };
        Ok(())
    }
}

fn message(text: bool, payload: Vec<u8>) -> Result<Received, Error> {
    Ok(Received::Message(if text { Message::Text(String::from_utf8(payload)?) } else { Message::Binary(payload) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{input::READ_SIZE, tungstenite::limits};
    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    use std::io::{Cursor, Read, Write};
    use tokio_tungstenite::tungstenite::protocol::WebSocketContext;

    const LIMIT: usize = 1000;

    /// Bytes in pieces, with a pause before each, and then the end.
    struct Pieces<'b> {
        bytes: &'b [u8],
        /// How long each piece is, over and over.
        lengths: Vec<usize>,
        next: usize,
        paused: bool,
        answers: Vec<u8>,
        /// How many answers are still taken.
        room: usize,
    }

    impl<'b> Pieces<'b> {
        fn new(bytes: &'b [u8], lengths: &[usize]) -> Self {
            Self { bytes, lengths: lengths.to_vec(), next: 0, paused: false, answers: Vec::new(), room: usize::MAX }
        }
    }

    impl Link for Pieces<'_> {
        fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
            self.paused = !self.paused;
            if self.paused {
                return Poll::Pending;
            }
            let length = self.lengths[self.next % self.lengths.len()].min(self.bytes.len()).min(into.len());
            self.next += 1;
            let (piece, rest) = self.bytes.split_at(length);
            into[..length].copy_from_slice(piece);
            self.bytes = rest;
            Poll::Ready(Ok(length))
        }

        fn answer(&mut self, frame: &[u8]) -> bool {
            let has_room = self.room > 0;
            if has_room {
                self.room -= 1;
                self.answers.extend_from_slice(frame);
            }
            has_room
        }
    }

    fn reader(role: Role) -> Reader {
        Reader::new(role, Vec::new(), &Config::default().max_message_size(LIMIT))
    }

    /// All that is received, each as text, to the error or the close frame that ends it, and what was answered.
    type Outcome = (Vec<String>, Vec<u8>);

    fn read_all(role: Role, early: &[u8], link: &mut Pieces<'_>) -> Vec<String> {
        let mut reader = Reader { input: Input::with_bytes(early.to_vec()), ..reader(role) };
        let mut all = Vec::new();
        loop {
            match reader.poll(link) {
                Poll::Pending => {
                    reader.shrink();
                    assert!(reader.input.bytes.len() < READ_SIZE, "a waiting reader does not keep the thread's buffer");
                }
                Poll::Ready(Ok(received)) => {
                    all.push(format!("{received:?}"));
                    if matches!(received, Received::Close(_)) {
                        return all;
                    }
                }
                Poll::Ready(Err(error)) => {
                    all.push(error.to_string());
                    return all;
                }
            }
        }
    }

    /// tungstenite alone, on all bytes at once.
    fn reference(role: Role, bytes: &[u8]) -> Outcome {
        struct Whole<'b>(Cursor<&'b [u8]>, Vec<u8>);
        impl Read for Whole<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.0.read(into)
            }
        }
        impl Write for Whole<'_> {
            fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
                self.1.write(frame)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut context = WebSocketContext::new(role, Some(limits(LIMIT)));
        let (mut whole, mut all) = (Whole(Cursor::new(bytes), Vec::new()), Vec::new());
        loop {
            match context.read(&mut whole).map(Received::from_tungstenite) {
                Ok(received) => {
                    let received = received.expect("a reader does not return single frames");
                    all.push(format!("{received:?}"));
                    if matches!(received, Received::Close(_)) {
                        return (all, whole.1);
                    }
                }
                Err(error) => {
                    all.push(error.to_string());
                    return (all, whole.1);
                }
            }
        }
    }

    /// A frame that a peer of `role` may get, and now and then one that it may not.
    fn frame(rng: &mut SmallRng, role: Role) -> Vec<u8> {
        let first = match rng.random_range(0..14) {
            5 | 6 => 0x82,
            7 => 0x01,
            8 => 0x00,
            9 => 0x80,
            10 => 0x89,
            11 => 0x8a,
            12 if rng.random_ratio(1, 10) => 0x88,
            0..=4 | 12 => 0x81,
            _ if rng.random_ratio(1, 4) => rng.random::<u8>(),
            _ => 0x82,
        };
        let length = match rng.random_range(0..10) {
            0 => 0,
            1..=6 => rng.random_range(0..125),
            7 => rng.random_range(0..300),
            8 => rng.random_range(900..1000),
            _ if rng.random_ratio(1, 10) => LIMIT + rng.random_range(0..70_000),
            _ => 1,
        };
        let masked = (role == Role::Server) != rng.random_ratio(1, 100);
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match length {
            // A longer form than needed now and then, which tungstenite takes.
            0..126 if !rng.random_ratio(1, 50) => bytes.push(mask | length as u8),
            0..65536 => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let key: [u8; 4] = std::array::from_fn(|_| if masked { rng.random::<u8>() } else { 0 });
        if masked {
            bytes.extend_from_slice(&key);
        }
        let broken = rng.random_ratio(1, 40);
        let text = "wörld, ".bytes().cycle().take(length);
        // Whole characters, so that a text of any length is one.
        let text =
            text.enumerate().map(|(at, byte)| if byte.is_ascii() || broken { byte } else { b'a' + (at % 26) as u8 });
        bytes.extend(text.enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        bytes
    }

    /// The fast way and tungstenite agree on every message, answer and error, however the bytes are cut; but that what is
    /// against the rules by its header is told here before its payload has come, or was found too long.
    #[test]
    fn the_reader_and_tungstenite_agree() {
        let mut rng = SmallRng::seed_from_u64(1);
        let (mut messages, mut early_errors) = (0, 0);
        for round in 0..3_000 {
            let role = if round % 3 == 0 { Role::Client } else { Role::Server };
            let mut bytes: Vec<u8> = (0..rng.random_range(1..=12)).flat_map(|_| frame(&mut rng, role)).collect();
            let (whole, _) = reference(role, &bytes);
            if rng.random_ratio(1, 4) {
                bytes.truncate(rng.random_range(0..=bytes.len()));
            }
            let (expected, answers) = reference(role, &bytes);
            messages += expected.len();
            let random: Vec<usize> = (0..7).map(|_| rng.random_range(1..=400)).collect();
            for lengths in [&[1][..], &[usize::MAX], &random] {
                let early = rng.random_range(0..=bytes.len());
                let mut link = Pieces::new(&bytes[early..], lengths);
                let received = read_all(role, &bytes[..early], &mut link);
                if received != expected {
                    let ((error, received), (expected_error, expected)) =
                        (received.split_last().unwrap(), expected.split_last().unwrap());
                    assert_eq!(received, expected, "{role:?}, round {round}");
                    let by_its_header = expected_error.contains("too long") && error.contains("protocol error");
                    assert!(
                        by_its_header || Some(error) == whole.get(received.len()),
                        "{error}, not {expected_error}: {role:?}, round {round}"
                    );
                    early_errors += 1;
                }
                // A client's masks are not foreseen.
                if role == Role::Server {
                    assert_eq!(link.answers, answers, "round {round}");
                }
            }
        }
        assert!(
            messages > 8_000 && early_errors > 20,
            "{messages} messages, {early_errors} early errors: too few for this test"
        );
    }

    #[test]
    fn an_answer_that_found_no_room_is_sent_when_there_is_room() {
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        let mut bytes = ping.repeat(300);
        bytes.extend_from_slice(&[0x81, 0x81, 0, 0, 0, 0, b'x']);
        let mut link = Pieces::new(&bytes, &[usize::MAX]);
        link.room = 0;
        let mut reader = reader(Role::Server);
        let mut pings = 0;
        loop {
            match reader.poll(&mut link) {
                Poll::Ready(Ok(Received::Ping)) => pings += 1,
                Poll::Ready(Ok(Received::Message(_))) => break,
                Poll::Ready(other) => panic!("{other:?}"),
                Poll::Pending => {}
            }
        }
        assert_eq!((pings, link.answers.len()), (300, 0));
        link.room = usize::MAX;
        assert!(reader.poll(&mut link).is_pending());
        assert!(link.answers.ends_with(&[0x8a, 0]), "the newest pong is sent");
        assert!(link.answers.len() < 600, "a flood does not get one answer for each ping (RFC 6455 section 5.5.3)");
    }

    #[test]
    fn memory_is_set_aside_for_received_bytes_and_not_for_a_declared_length() {
        let config = Config::default().max_message_size(1 << 30);
        let declared = [&[0x82, 0xff][..], &(1_u64 << 30).to_be_bytes(), &[0; 4], &[7; 10]].concat();
        let mut link = Pieces::new(&declared, &[usize::MAX]);
        // Takes the memory that an earlier test left to this thread.
        drop(Message::memory(0));
        let mut reader = Reader::new(Role::Server, Vec::new(), &config);
        while !matches!(reader.state, State::Message { .. }) {
            let _ = reader.poll(&mut link);
        }
        let State::Message { payload, missing, .. } = &reader.state else { unreachable!("waited for above") };
        assert_eq!((payload.len(), *missing), (10, (1 << 30) - 10));
        assert!(payload.capacity() <= 10 * MAX_RESERVED_RATIO, "{} bytes", payload.capacity());
    }
}
