//! Turns received bytes into messages (RFC 6455 section 5). It does not know the socket.
//!
//! A frame with an invalid header, or one that makes its message too long, is rejected before its
//! payload is read. The payload is copied into the memory of its message and unmasked there. A
//! silent connection keeps no buffer.
//!
//! This is not a library's reader, for three reasons: it saves two copies of each message, it saves
//! a read buffer for each connection, and the memory of fragments follows our limits.
//! `docs/benchmarks.md` has the figures.
use crate::{
    config::Config,
    wire::{
        close_frame::CloseFrame,
        data_message::{DataMessage, Received},
        deflate::{Agreed, Compression, Inflater},
        fragments::Fragments,
        header::{Header, MAX_HEADER, Opcode},
        payload::{self, Payload},
        read_buffer::Input,
        role::Role,
        violation::{ReadError, Violation},
        write::frame,
    },
};
use bytes::Bytes;
use std::{
    io,
    task::{Poll, ready},
};

/// The source of the bytes, and the queue for the pongs, during one poll.
pub(crate) trait Link {
    /// Reads bytes. Returns their number, or 0 at the end of the stream.
    fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Queues a control frame. Returns `false` if the queue is full.
    fn answer(&mut self, frame: &[u8]) -> bool;
    /// Pending once, so that the other connections of the thread get a turn.
    fn poll_yield(&mut self) -> Poll<()> {
        Poll::Ready(())
    }
}

/// The part of a frame that the reader reads next.
///
/// ```text
///            the header is complete
///   Header --------------------------> Payload
///     ^                                 |   |
///     +---------------------------------+   | the payload is compressed
///     |      the payload is complete        v
///     +--------------------------------- Inflating
///            the message is inflated
/// ```
enum State {
    /// The header. Its first `read` bytes are in `bytes`.
    Header {
        bytes: [u8; MAX_HEADER],
        read: usize,
    },
    Payload(Payload),
    /// The payload of a compressed message, which is inflated slice by slice.
    Inflating {
        is_text: bool,
        compressed: Vec<u8>,
    },
}

impl State {
    const START: Self = Self::Header { bytes: [0; MAX_HEADER], read: 0 };
}

/// Reads the messages of one connection.
pub(crate) struct Reader {
    role: Role,
    max_message_size: usize,
    input: Input,
    state: State,
    /// The message whose last fragment is missing. Boxed, because few connections have one.
    fragments: Option<Box<Fragments>>,
    /// Inflates compressed messages. Boxed, because few connections agree on them.
    inflater: Option<Box<Inflater>>,
    /// The newest pong, if the queue had no room for it. An older one is not sent (RFC 6455 section
    /// 5.5.3), so a peer that sends pings but does not read cannot fill the memory.
    pong: Option<Box<Bytes>>,
}

impl Reader {
    /// Returns a reader. `early` has the bytes that arrived together with the end of the handshake.
    pub(crate) fn new(role: Role, early: Vec<u8>, config: &Config) -> Self {
        Self {
            role,
            max_message_size: config.max_message_size,
            input: Input::with_bytes(early),
            state: State::START,
            fragments: None,
            inflater: None,
            pong: None,
        }
    }

    /// Lets the peer compress its messages, if both ends agreed on that.
    pub(crate) fn inflate(&mut self, agreed: Option<Agreed>) {
        self.inflater = agreed.map(Inflater::new).map(Box::new);
    }

    /// Returns what was inflated since the last call, if there was anything.
    pub(crate) fn take_inflated(&mut self) -> Option<Compression> {
        self.inflater.as_mut()?.work().take()
    }

    /// Returns how many bytes more than were received the messages have had since the last call.
    pub(crate) fn take_surplus(&mut self) -> usize {
        self.inflater.as_mut().map_or(0, |inflater| inflater.take_surplus())
    }

    /// Returns the next message or control frame. It must not be called after an error or a close
    /// frame.
    #[inline]
    pub(crate) fn poll(&mut self, link: &mut impl Link) -> Poll<Result<Received, ReadError>> {
        if self.pong.as_deref().is_some_and(|pong| link.answer(pong)) {
            self.pong = None;
        }
        loop {
            match &mut self.state {
                State::Header { .. } => match self.next_header() {
                    Some(header) => {
                        if let Some(message) = self.begin_frame(header)? {
                            return Poll::Ready(Ok(Received::Message(message)));
                        }
                    }
                    None => ready!(self.poll_fill(link))?,
                },
                State::Payload(payload) => {
                    let limit = match &self.inflater {
                        None => self.max_message_size,
                        Some(_) => compressed_limit(self.max_message_size),
                    };
                    if let Some((header, bytes)) = payload.append(&mut self.input, limit) {
                        self.state = State::START;
                        if let Some(received) = self.end_frame(header, bytes, link)? {
                            return Poll::Ready(Ok(received));
                        }
                    } else {
                        ready!(self.poll_fill(link))?;
                    }
                }
                State::Inflating { .. } => {
                    if self.begin_turn() {
                        ready!(link.poll_yield());
                    }
                    if let Some(message) = self.inflate_on()? {
                        return Poll::Ready(Ok(Received::Message(message)));
                    }
                }
            }
        }
    }

    /// Frees memory, because the task waits.
    pub(crate) fn shrink(&mut self) {
        self.input.shrink();
        if let Some(inflater) = &mut self.inflater {
            inflater.begin_turn();
        }
    }

    /// Begins a turn of inflating, if the last one has used its time. Returns whether it has.
    fn begin_turn(&mut self) -> bool {
        let Some(inflater) = &mut self.inflater else { return false };
        let is_spent = inflater.is_spent();
        if is_spent {
            inflater.begin_turn();
        }
        is_spent
    }

    /// Whether it holds the thread's buffer.
    #[cfg(test)]
    #[cfg(not(wsx_model))]
    pub(crate) fn has_buffer(&self) -> bool {
        self.input.bytes.len() == crate::wire::read_buffer::READ_SIZE
    }

    fn poll_fill(&mut self, link: &mut impl Link) -> Poll<Result<(), ReadError>> {
        match ready!(self.input.poll_fill(|into| link.poll_read(into)))? {
            0 => Poll::Ready(Err(ReadError::Ended)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Takes the next header from the input, if it is complete. Otherwise takes its first bytes.
    #[inline]
    fn next_header(&mut self) -> Option<Header> {
        let State::Header { bytes, read } = &mut self.state else { return None };
        let unread = self.input.unread();
        if *read == 0 {
            // Nearly always, and without a copy.
            if let Some(header) = Header::parse(unread) {
                self.input.take(header.size);
                return Some(header);
            }
        }
        let more = unread.len().min(MAX_HEADER - *read);
        bytes[*read..*read + more].copy_from_slice(&unread[..more]);
        let header = Header::parse(&bytes[..*read + more]);
        let used = header.map_or(more, |header| header.size - *read);
        // A complete header leaves the state as it was before it.
        *read = if header.is_some() { 0 } else { *read + used };
        self.input.take(used);
        header
    }

    /// Checks the header, and prepares the memory for its payload. Returns the message if it has
    /// arrived completely, as most do.
    #[inline]
    fn begin_frame(&mut self, header: Header) -> Result<Option<DataMessage>, Violation> {
        header.check(self.role, self.fragments.is_some(), self.inflater.is_some())?;
        let length = usize::try_from(header.payload_length).unwrap_or(usize::MAX);
        let earlier = if header.opcode().is_control() {
            // The check has limited its length. `max_message_size` is for messages.
            Vec::new()
        } else {
            let before = self.fragments.as_ref().map_or(0, |fragments| fragments.length());
            let is_compressed = self.inflater.is_some() && self.is_compressed(header);
            let limit = if is_compressed { compressed_limit(self.max_message_size) } else { self.max_message_size };
            if length > limit - before {
                let length = header.payload_length.saturating_add(before as u64);
                return Err(Violation::MessageTooLong { length, limit: self.max_message_size });
            }
            match &mut self.fragments {
                Some(fragments) => fragments.take(),
                None if header.is_final() => {
                    let memory = DataMessage::memory(length);
                    if self.input.unread().len() >= length {
                        let bytes = payload::whole(header, self.input.take(length), memory);
                        let is_text = header.opcode() == Opcode::TEXT;
                        if is_compressed {
                            return self.begin_inflating(is_text, bytes);
                        }
                        return message(is_text, bytes).map(Some);
                    }
                    memory
                }
                None => Vec::new(),
            }
        };
        self.state = State::Payload(Payload::new(header, length, earlier));
        Ok(None)
    }

    /// Whether this frame belongs to a compressed message.
    #[cold]
    fn is_compressed(&self, header: Header) -> bool {
        self.fragments.as_ref().map_or(header.is_compressed(), |fragments| fragments.is_compressed())
    }

    /// Inflates a compressed message. Returns it if it is short. A long one, or one for which this
    /// turn has no time, is inflated by the next steps.
    #[cold]
    fn begin_inflating(&mut self, is_text: bool, compressed: Vec<u8>) -> Result<Option<DataMessage>, Violation> {
        self.state = State::Inflating { is_text, compressed };
        if self.inflater.as_ref().is_some_and(|inflater| inflater.is_spent()) { Ok(None) } else { self.inflate_on() }
    }

    /// Inflates the next slice of a message. Returns the message if it is complete.
    fn inflate_on(&mut self) -> Result<Option<DataMessage>, Violation> {
        let State::Inflating { is_text, compressed } = &mut self.state else { return Ok(None) };
        let inflater = self.inflater.as_mut().expect("the header is checked");
        let Some(bytes) = inflater.inflate(compressed, self.max_message_size)? else { return Ok(None) };
        DataMessage::Binary(std::mem::take(compressed)).recycle();
        let message = message(*is_text, bytes)?;
        self.state = State::START;
        Ok(Some(message))
    }

    /// Returns the message or control frame that the frame completes. `bytes` has the whole message
    /// so far.
    fn end_frame(
        &mut self,
        header: Header,
        bytes: Vec<u8>,
        link: &mut impl Link,
    ) -> Result<Option<Received>, Violation> {
        let received = match header.opcode() {
            Opcode::PING => {
                let pong = frame(Opcode::PONG, self.role, &bytes);
                self.pong = if link.answer(&pong) { None } else { Some(Box::new(pong)) };
                Received::Ping
            }
            Opcode::PONG => Received::Pong(bytes.into()),
            Opcode::CLOSE => Received::Close(CloseFrame::parse(&bytes)?),
            opcode if header.is_final() => {
                let (is_text, is_compressed) = match self.fragments.take() {
                    None => (opcode == Opcode::TEXT, header.is_compressed()),
                    Some(fragments) => (fragments.is_text(), fragments.is_compressed()),
                };
                if is_compressed {
                    return Ok(self.begin_inflating(is_text, bytes)?.map(Received::Message));
                }
                Received::Message(message(is_text, bytes)?)
            }
            opcode => {
                let begin = || Box::new(Fragments::new(opcode == Opcode::TEXT, header.is_compressed()));
                self.fragments.get_or_insert_with(begin).put_back(bytes)?;
                return Ok(None);
            }
        };
        Ok(Some(received))
    }
}

/// Returns the maximum length of a compressed message. DEFLATE can be longer than what it
/// compresses; zlib with its least memory adds 5 bytes to 127 (RFC 1951 section 3.2.4).
fn compressed_limit(limit: usize) -> usize {
    limit.saturating_add(limit / 16).saturating_add(64)
}

#[inline]
fn message(is_text: bool, bytes: Vec<u8>) -> Result<DataMessage, Violation> {
    Ok(if is_text {
        DataMessage::Text(String::from_utf8(bytes).map_err(|_| Violation::TextNotUtf8)?)
    } else {
        DataMessage::Binary(bytes)
    })
}

/// A peer that sends nothing more, and takes each answer.
#[cfg(any(feature = "__internals", feature = "testing"))]
pub(crate) struct Silence;

#[cfg(any(feature = "__internals", feature = "testing"))]
impl Link for Silence {
    fn poll_read(&mut self, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn answer(&mut self, _: &[u8]) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::read_buffer::READ_SIZE;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    use std::io::{Cursor, Read, Write};
    use tokio_tungstenite::tungstenite::{
        Error, Message,
        error::ProtocolError,
        protocol::{self, WebSocketConfig, WebSocketContext},
    };

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

        /// Returns the next piece, of at most this length.
        fn piece(&mut self, most: usize) -> Poll<&'b [u8]> {
            self.paused = !self.paused;
            if self.paused {
                return Poll::Pending;
            }
            let length = self.lengths[self.next % self.lengths.len()].min(self.bytes.len()).min(most);
            self.next += 1;
            let (piece, rest) = self.bytes.split_at(length);
            self.bytes = rest;
            Poll::Ready(piece)
        }
    }

    impl Link for Pieces<'_> {
        fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
            let piece = ready!(self.piece(into.len()));
            into[..piece.len()].copy_from_slice(piece);
            Poll::Ready(Ok(piece.len()))
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

    fn reader(role: Role, early: &[u8], limit: usize) -> Reader {
        Reader::new(role, early.to_vec(), &Config::default().max_message_size(limit))
    }

    /// Returns the number of bytes that the reader holds for the current message.
    fn memory(reader: &Reader) -> usize {
        let payload = match &reader.state {
            State::Payload(payload) => payload.capacity(),
            State::Header { .. } => 0,
            State::Inflating { compressed, .. } => compressed.capacity(),
        };
        payload + reader.fragments.as_ref().map_or(0, |fragments| fragments.capacity())
    }

    #[derive(Debug, PartialEq)]
    enum End {
        Closed(u16, String),
        Rejected(Violation),
        /// tungstenite's errors, as the code that answers them.
        RejectedWith(u16),
        Ended,
    }

    /// Returns everything that was received, as text, and the end.
    fn read_all(mut reader: Reader, link: &mut Pieces<'_>) -> (Vec<String>, End) {
        let mut all = Vec::new();
        loop {
            match reader.poll(link) {
                Poll::Pending => {
                    reader.shrink();
                    assert!(reader.input.bytes.len() < READ_SIZE, "a waiting reader does not keep the thread's buffer");
                    // The message, and a control frame between its fragments.
                    let most = reader.max_message_size + 125;
                    assert!(memory(&reader) <= most, "{} bytes, not {most}", memory(&reader));
                }
                Poll::Ready(Ok(Received::Close(CloseFrame { code, reason }))) => {
                    return (all, End::Closed(code.into(), reason));
                }
                Poll::Ready(Ok(received)) => all.push(format!("{received:?}")),
                Poll::Ready(Err(ReadError::Rejected(violation))) => return (all, End::Rejected(violation)),
                Poll::Ready(Err(ReadError::Ended)) => return (all, End::Ended),
                Poll::Ready(Err(ReadError::Lost(error))) => unreachable!("these links do not break: {error}"),
            }
        }
    }

    /// Reads with tungstenite alone, all bytes at once. Also returns the answers.
    fn reference(role: Role, bytes: &[u8]) -> (Vec<String>, End, Vec<u8>) {
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
        let limits = WebSocketConfig::default().write_buffer_size(0);
        let limits = limits.max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
        let role = match role {
            Role::Server => protocol::Role::Server,
            Role::Client => protocol::Role::Client,
        };
        let mut context = WebSocketContext::new(role, Some(limits));
        let (mut whole, mut all) = (Whole(Cursor::new(bytes), Vec::new()), Vec::new());
        let end = loop {
            all.push(match context.read(&mut whole) {
                Ok(Message::Text(text)) => Received::Message(DataMessage::Text(text.to_string())),
                Ok(Message::Binary(bytes)) => Received::Message(DataMessage::Binary(bytes.into())),
                Ok(Message::Ping(_)) => Received::Ping,
                Ok(Message::Pong(payload)) => Received::Pong(payload),
                Ok(Message::Close(None)) => break End::Closed(1005, String::new()),
                Ok(Message::Close(Some(frame))) => break End::Closed(frame.code.into(), frame.reason.to_string()),
                Ok(Message::Frame(_)) => unreachable!("tungstenite does not return single frames"),
                Err(Error::Capacity(_)) => break End::RejectedWith(1009),
                Err(Error::Utf8(_)) => break End::RejectedWith(1007),
                Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => break End::Ended,
                Err(Error::Protocol(_)) => break End::RejectedWith(1002),
                Err(error) => panic!("unexpected error in memory: {error}"),
            });
        };
        (all.iter().map(|received| format!("{received:?}")).collect(), end, whole.1)
    }

    /// The differences between the reader and tungstenite. `whole` is the result of tungstenite if
    /// all bytes arrive.
    fn is_known_difference(end: &End, tungstenite: &End, whole: &End) -> bool {
        match end {
            // tungstenite accepts both.
            End::Rejected(Violation::LongFormOfLength | Violation::TopBitOfLength) => true,
            // tungstenite checks the reason first.
            End::Rejected(Violation::InvalidCloseCode(_)) if *tungstenite == End::RejectedWith(1007) => true,
            // It changes both codes, and reports them as the peer's.
            End::Rejected(Violation::InvalidCloseCode(_)) | End::Closed(1014, _) => {
                *tungstenite == End::Closed(1002, "Protocol violation".into())
            }
            // The reader rejects a header before the payload has arrived.
            End::Rejected(violation) if *tungstenite == End::Ended => {
                *whole == End::RejectedWith(violation.close_code().into()) || *whole == End::RejectedWith(1009)
            }
            // It checks the header before the limit.
            End::Rejected(violation) => {
                violation.close_code() == 1002.into() && *tungstenite == End::RejectedWith(1009)
            }
            _ => false,
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
            12 if rng.random_ratio(1, 6) => 0x88,
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
            // Sometimes a longer form than needed.
            0..126 if !rng.random_ratio(1, 100) => bytes.push(mask | length as u8),
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
        let mut payload: Vec<u8> = text.collect();
        if let (0x88, Some(code)) = (first, payload.first_chunk_mut()) {
            let codes = [999, 1000, 1004, 1005, 1011, 1014, 1015, 2999, 3000, 4999, 5000];
            *code = u16::to_be_bytes(codes[rng.random_range(0..codes.len())]);
        }
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        bytes
    }

    /// Both agree on every message, answer and error, whatever the pieces of the bytes are, except
    /// for the known differences.
    #[test]
    fn the_reader_and_tungstenite_agree() {
        let mut rng = SmallRng::seed_from_u64(1);
        let (mut messages, mut differences) = (0, 0);
        for round in 0..5_000 {
            let role = if round % 3 == 0 { Role::Client } else { Role::Server };
            let mut bytes: Vec<u8> = (0..rng.random_range(1..=12)).flat_map(|_| frame(&mut rng, role)).collect();
            let (_, whole, _) = reference(role, &bytes);
            if rng.random_ratio(1, 4) {
                bytes.truncate(rng.random_range(0..=bytes.len()));
            }
            let (expected, expected_end, answers) = reference(role, &bytes);
            messages += expected.len();
            let random: Vec<usize> = (0..7).map(|_| rng.random_range(1..=400)).collect();
            for lengths in [&[1][..], &[usize::MAX], &random] {
                let early = rng.random_range(0..=bytes.len());
                let mut link = Pieces::new(&bytes[early..], lengths);
                let (received, end) = read_all(reader(role, &bytes[..early], LIMIT), &mut link);
                let same_end = match &end {
                    End::Rejected(violation) => expected_end == End::RejectedWith(violation.close_code().into()),
                    end => *end == expected_end,
                };
                if same_end && received == expected {
                    // A client's masks are random. tungstenite also answers a close.
                    assert!(role == Role::Client || answers.starts_with(&link.answers), "round {round}");
                } else {
                    assert!(expected.starts_with(&received), "{role:?}, round {round}: {received:?}, not {expected:?}");
                    assert!(
                        is_known_difference(&end, &expected_end, &whole),
                        "{end:?}, not {expected_end:?}: {role:?}, round {round}"
                    );
                    differences += 1;
                }
            }
        }
        assert!(
            messages > 8_000 && (200..2_000).contains(&differences),
            "{messages} messages, {differences} differences: too few for this test"
        );
    }

    #[test]
    fn an_answer_that_found_no_room_is_sent_when_there_is_room() {
        let mut bytes = [0x89, 0x81, 0, 0, 0, 0, b'a'].repeat(300);
        bytes.extend_from_slice(&[0x89, 0x81, 0, 0, 0, 0, b'b']);
        bytes.extend_from_slice(&[0x81, 0x81, 0, 0, 0, 0, b'x']);
        let mut link = Pieces::new(&bytes, &[usize::MAX]);
        link.room = 0;
        let mut reader = reader(Role::Server, &[], LIMIT);
        let mut pings = 0;
        loop {
            match reader.poll(&mut link) {
                Poll::Ready(Ok(Received::Ping)) => pings += 1,
                Poll::Ready(Ok(Received::Message(_))) => break,
                Poll::Ready(other) => panic!("{other:?}"),
                Poll::Pending => {}
            }
        }
        assert_eq!((pings, link.answers.len()), (301, 0));
        link.room = usize::MAX;
        assert!(reader.poll(&mut link).is_pending());
        assert_eq!(link.answers, [0x8a, 1, b'b'], "only the newest pong is sent (RFC 6455 section 5.5.3)");
    }

    /// Returns a masked frame, with a length in its shortest form.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..126 => bytes.push(0x80 | length as u8),
            length @ 126..65536 => bytes.extend([&[0xfe], &(length as u16).to_be_bytes()[..]].concat()),
            length => bytes.extend([&[0xff], &(length as u64).to_be_bytes()[..]].concat()),
        }
        bytes.extend_from_slice(&key);
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        bytes
    }

    #[test]
    fn a_long_message_is_read_in_any_pieces_and_its_memory_is_handed_over() {
        let _alone = crate::wire::long_memory::alone();
        let long: Vec<u8> = (0..400_000).map(|at| (at % 251) as u8).collect();
        let whole = masked(0x82, &long);
        let fragments = [
            masked(0x02, &long[..1]),
            masked(0x00, &long[1..200_000]),
            masked(0x89, b"between"),
            masked(0x00, &long[200_000..200_100]),
            masked(0x80, &long[200_100..]),
        ]
        .concat();
        for (message, pings) in [(whole, 0), (fragments, 1)] {
            let bytes = [&message[..], &masked(0x81, b"next")].concat();
            for lengths in [&[1 << 20][..], &[70_001, 3, 100], &[4097, 99_999], &[1001]] {
                let mut link = Pieces::new(&bytes, lengths);
                let mut reader = reader(Role::Server, &[], long.len());
                let mut received = Vec::new();
                while received.len() < 2 + pings {
                    match reader.poll(&mut link) {
                        Poll::Ready(Ok(Received::Message(DataMessage::Binary(bytes)))) => {
                            assert!(bytes == long, "{lengths:?}");
                            received.push(bytes.capacity());
                            assert_eq!(memory(&reader), 0, "nothing of the message stays");
                        }
                        Poll::Ready(Ok(_)) => received.push(0),
                        Poll::Ready(Err(error)) => panic!("{error}"),
                        Poll::Pending => assert!(memory(&reader) <= long.len(), "{} bytes", memory(&reader)),
                    }
                }
                assert_eq!(received.iter().sum::<usize>(), long.len(), "the memory has the size of the message");
            }
        }
    }

    /// Row F2: 16 times the received bytes, and nothing for the header.
    #[test]
    fn memory_is_set_aside_for_received_bytes_and_not_for_a_declared_length() {
        for first in [0x82, 0x02] {
            let declared = [&[first, 0xff][..], &(1_u64 << 30).to_be_bytes(), &[0; 4]].concat();
            for (received, most) in [(0, 0), (1, 64), (10, 160), (10_000, 160_000)] {
                let bytes = [&declared[..], &vec![7; received]].concat();
                let mut link = Pieces::new(&bytes, &[usize::MAX]);
                // Takes the memory that an earlier test left to this thread.
                drop(DataMessage::memory(0));
                let mut reader = reader(Role::Server, &[], 1 << 30);
                while !link.bytes.is_empty() {
                    assert!(reader.poll(&mut link).is_pending());
                }
                assert!(memory(&reader) <= most, "{} bytes for {received}", memory(&reader));
            }
        }
    }

    #[test]
    fn a_message_in_fragments_does_not_take_the_memory_of_the_thread() {
        for (first, taken) in [(0x02, false), (0x82, true)] {
            DataMessage::Binary(Vec::with_capacity(10_000)).recycle();
            let bytes = [first, 0x82, 0, 0, 0, 0, b'x'];
            let mut reader = reader(Role::Server, &bytes, LIMIT);
            assert!(reader.poll(&mut Pieces::new(&[], &[1])).is_pending());
            assert_eq!(memory(&reader) == 10_000, taken, "{} bytes", memory(&reader));
        }
    }

    /// Row F2: the memory grows with the message, and a message in tiny fragments is not copied for
    /// each.
    #[test]
    fn fragments_are_collected_in_memory_that_rarely_grows() {
        let bytes = [masked(0x02, b""), masked(0x00, b"x").repeat(5_000), masked(0x00, &[0; 4_999])].concat();
        let mut link = Pieces::new(&bytes, &[7]);
        let mut reader = reader(Role::Server, &[], 10_000);
        let mut sizes = Vec::new();
        while !link.bytes.is_empty() {
            assert!(reader.poll(&mut link).is_pending());
            sizes.push(memory(&reader));
        }
        assert!(sizes.is_sorted() && sizes.iter().all(|size| *size <= 10_000));
        sizes.dedup();
        assert!(sizes.len() <= 10, "{sizes:?}");
    }

    #[test]
    fn a_header_that_makes_its_message_too_long_is_enough() {
        let too_long = |length| Violation::MessageTooLong { length, limit: 10 };
        for (bytes, violation) in [
            (vec![0x81, 0x8b, 0, 0, 0, 0], too_long(11)),
            (vec![0x01, 0x8b, 0, 0, 0, 0], too_long(11)),
            ([masked(0x01, b"123456"), vec![0x00, 0x85, 0, 0, 0, 0]].concat(), too_long(11)),
            ([masked(0x01, b"123456"), vec![0x80, 0x85, 0, 0, 0, 0]].concat(), too_long(11)),
            ([&[0x82, 0xff][..], &(u64::MAX >> 1).to_be_bytes(), &[0; 4]].concat(), too_long(u64::MAX >> 1)),
            ([&[0x82, 0xff][..], &(1_u64 << 63).to_be_bytes(), &[0; 4]].concat(), Violation::TopBitOfLength),
            (vec![0x82, 0xfe, 0, 125, 0, 0, 0, 0], Violation::LongFormOfLength),
            ([&[0x82, 0xff][..], &65535_u64.to_be_bytes(), &[0; 4]].concat(), Violation::LongFormOfLength),
            (vec![0x89, 0xfe, 0, 126, 0, 0, 0, 0], Violation::LongControlFrame(126)),
        ] {
            let (_, end) = read_all(reader(Role::Server, &[], 10), &mut Pieces::new(&bytes, &[usize::MAX]));
            assert_eq!(end, End::Rejected(violation), "{bytes:?}");
        }
    }

    #[test]
    fn the_limit_on_messages_is_not_one_on_control_frames() {
        let (long, reason) = ([b'p'; 125], "r".repeat(123));
        let close = masked(0x88, &[&[0x03, 0xe8], reason.as_bytes()].concat());
        let bytes = [masked(0x01, b"12345"), masked(0x89, &long), masked(0x80, b"67890"), close].concat();
        let mut link = Pieces::new(&bytes, &[usize::MAX]);
        let (received, end) = read_all(reader(Role::Server, &[], 10), &mut link);
        assert_eq!(received, ["Ping", "Message(Text(\"1234567890\"))"]);
        assert_eq!(end, End::Closed(1000, reason));
        assert_eq!(link.answers, [&[0x8a, 125], &long[..]].concat());
    }
}
