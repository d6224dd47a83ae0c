//! Turns received bytes into messages (RFC 6455 section 5). It does not know the socket.
//!
//! Nearly every message is one complete data frame. It is copied into its own memory and unmasked
//! in the same pass, and a silent connection does not keep a buffer. All other frames are control
//! frames and fragments. They go through tungstenite, one at a time. A frame with an invalid header
//! is rejected before its payload is read.
//!
//! Compared with tungstenite alone, this saves two copies of each message and a read buffer for
//! each connection. `docs/benchmarks.md` has the figures.
use crate::{
    config::Config,
    wire::{
        data_message::{DataMessage, Received},
        header::{Header, MAX_HEADER, Opcode},
        mask::mask,
        read_buffer::Input,
        tungstenite::{Forwarded, Tungstenite, Unread},
        violation::{ReadError, Violation},
    },
};
use std::{
    io,
    task::{Poll, ready},
};
use tokio_tungstenite::tungstenite::protocol::Role;

/// A message whose frame is incomplete gets memory for at most this many times the received bytes.
/// Otherwise a peer could make the program allocate a long message with a header alone. Memory that
/// is never written costs only addresses.
const MAX_RESERVED_RATIO: usize = 16;

/// The source of the bytes, and the queue for the answers of tungstenite, during one poll.
pub(crate) trait Link {
    /// Reads bytes. Returns their number, or 0 at the end of the stream.
    fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Queues a control frame. Returns `false` if the queue is full.
    fn answer(&mut self, frame: &[u8]) -> bool;
}

/// The part of a frame that the reader reads next.
///
/// ```text
///             a whole text or binary frame                  its payload is complete
///   Header ----------------------------------> Message -------------------------------+
///   ^    |                                                                            |
///   |    |    a control frame or a fragment                 its payload is complete   |
///   |    +----------------------------------> Forwarded ------------------------------+
///   |                                                                                 |
///   +---------------------------------------------------------------------------------+
/// ```
enum State {
    /// The header. Its first `read` bytes are in `Reader::header`.
    Header { read: usize },
    /// The payload of a message that is a single frame.
    Message { header: Header, payload: Vec<u8>, missing: usize },
    /// A frame that tungstenite reads.
    Forwarded(Forwarded),
}

/// Reads the messages of one connection.
pub(crate) struct Reader {
    role: Role,
    max_message_size: usize,
    input: Input,
    state: State,
    /// The bytes of the current header.
    header: [u8; MAX_HEADER],
    /// Whether the last fragment of a message is missing.
    fragmented: bool,
    /// Created for the first frame that needs it. Many connections never receive such a frame.
    tungstenite: Option<Box<Tungstenite>>,
}

impl Reader {
    /// Returns a reader. `early` has the bytes that arrived together with the end of the handshake.
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

    /// Returns the next message or control frame. It must not be called after an error or a close
    /// frame.
    pub(crate) fn poll(&mut self, link: &mut impl Link) -> Poll<Result<Received, ReadError>> {
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
                        return Poll::Ready(received.map_err(ReadError::from));
                    }
                }
            }
        }
    }

    /// Frees memory, because the task waits.
    pub(crate) fn shrink(&mut self) {
        self.input.shrink();
    }

    fn poll_fill(&mut self, link: &mut impl Link) -> Poll<Result<(), ReadError>> {
        match ready!(self.input.poll_fill(|into| link.poll_read(into)))? {
            0 => Poll::Ready(Err(ReadError::Ended)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Returns the next header, if it is complete. Its bytes then move from the input into
    /// `self.header`.
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

    /// Decides how the frame with this header is read.
    fn begin_frame(&mut self, header: Header) -> Result<(), Violation> {
        let whole = header.is_whole_message() && !self.fragmented;
        let fits = usize::try_from(header.payload_length).ok().filter(|length| *length <= self.max_message_size);
        self.state = match fits {
            Some(length) if whole && header.masked == (self.role == Role::Server) => {
                let mut payload = DataMessage::memory(length);
                payload.reserve_exact(length.min(MAX_RESERVED_RATIO * self.input.unread().len()));
                State::Message { header, payload, missing: length }
            }
            _ => {
                if let Some(violation) = header.violation(self.role, self.fragmented) {
                    return Err(Violation::Protocol(violation.to_string()));
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

fn message(text: bool, payload: Vec<u8>) -> Result<Received, ReadError> {
    Ok(Received::Message(if text {
        DataMessage::Text(String::from_utf8(payload).map_err(|_| Violation::TextNotUtf8)?)
    } else {
        DataMessage::Binary(payload)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{read_buffer::READ_SIZE, tungstenite::limits};
    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    use std::io::{Cursor, Read, Write};
    use tokio_tungstenite::tungstenite::protocol::WebSocketContext;

    const LIMIT: usize = 1000;

    /// Gives bytes in pieces, with a pause before each, and then the end of the stream.
    struct Pieces<'b> {
        bytes: &'b [u8],
        /// The lengths of the pieces, repeated.
        lengths: Vec<usize>,
        next: usize,
        paused: bool,
        answers: Vec<u8>,
        /// How many answers there is room for.
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

    /// Everything that was received, as text, including the error or close frame at the end; and
    /// the answers.
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

    /// Reads with tungstenite alone, all bytes at once.
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
                    all.push(ReadError::from(error).to_string());
                    return (all, whole.1);
                }
            }
        }
    }

    /// A frame that a peer of `role` may receive, and sometimes an invalid one.
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
            // Sometimes a longer form than needed, which tungstenite accepts.
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
        // Whole characters, so that a text of any length is valid UTF-8.
        let text =
            text.enumerate().map(|(at, byte)| if byte.is_ascii() || broken { byte } else { b'a' + (at % 26) as u8 });
        bytes.extend(text.enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        bytes
    }

    /// Both agree on every message, answer and error, whatever the pieces of the bytes are. There
    /// is one exception: the reader rejects an invalid header before the payload is received, and
    /// before its length is checked.
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
                    let by_its_header = expected_error.contains("too long");
                    assert!(
                        by_its_header || Some(error) == whole.get(received.len()),
                        "{error}, not {expected_error}: {role:?}, round {round}"
                    );
                    early_errors += 1;
                }
                // A client's masks are random.
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
        drop(DataMessage::memory(0));
        let mut reader = Reader::new(Role::Server, Vec::new(), &config);
        while !matches!(reader.state, State::Message { .. }) {
            let _ = reader.poll(&mut link);
        }
        let State::Message { payload, missing, .. } = &reader.state else { unreachable!("waited for above") };
        assert_eq!((payload.len(), *missing), (10, (1 << 30) - 10));
        assert!(payload.capacity() <= 10 * MAX_RESERVED_RATIO, "{} bytes", payload.capacity());
    }
}
