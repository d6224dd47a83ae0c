//! Messages out of the bytes that come in (RFC 6455 section 5).
//!
//! Nearly every message is one whole data frame. It is unmasked here while it is copied out of what was read, into memory
//! of its own: one pass, and nothing is kept for a connection that is silent. Every other frame, be it control or fragment,
//! goes through tungstenite, one at a time. What is against the RFC by its header alone is refused at that. Knows bytes, and no
//! socket.
use crate::{
    config::Config,
    dispatch::incoming::RawFrame,
    wire::frame::{self, MAX_CONTROL},
};
use bytes::Bytes;
use std::{
    borrow::Cow,
    cell::Cell,
    io,
    task::{Poll, ready},
};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    error::ProtocolError,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext, frame::coding::Data},
};

/// How much one read asks for, in bytes: the buffer is the thread's, so its size costs no connection anything.
const READ: usize = 64 * 1024;
/// A message's memory is used for the thread's next one up to this length, and given back above it.
const KEEP: usize = 256 * 1024;
/// A message that has not come whole gets memory for so many times what has come, its declared length at the most: a
/// header is cheap to send, and memory that is never written costs no more than its address.
const AHEAD: usize = 16;
/// Longest header of a frame: 2 bytes, 8 of length, 4 of mask.
const MAX_HEADER: usize = 14;

thread_local! {
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a peer sent.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message, in memory of its own; [`recycle`] it.
    Data(RawFrame<'static>),
    /// Its answer is on its way.
    Ping,
    Pong(Bytes),
    Close(Option<CloseFrame>),
}

impl Received {
    /// `None` for what no reader gives: a single frame.
    pub(crate) fn of(message: Message) -> Option<Self> {
        Some(match message {
            Message::Text(text) => Self::Data(RawFrame::Text(Cow::Owned(text.as_str().to_owned()))),
            Message::Binary(bytes) => Self::Data(RawFrame::Binary(Cow::Owned(bytes.into()))),
            Message::Ping(_) => Self::Ping,
            Message::Pong(payload) => Self::Pong(payload),
            Message::Close(close) => Self::Close(close),
            Message::Frame(_) => return None,
        })
    }
}

/// Keeps the memory of a message that was handled for the next one of this thread.
pub(crate) fn recycle(message: RawFrame<'static>) {
    let memory = match message {
        RawFrame::Text(Cow::Owned(text)) => text.into_bytes(),
        RawFrame::Binary(Cow::Owned(bytes)) => bytes,
        RawFrame::Text(Cow::Borrowed(_)) | RawFrame::Binary(Cow::Borrowed(_)) => return,
    };
    if memory.capacity() <= KEEP {
        SPARE.set(memory);
    }
}

/// Where bytes come from, and where tungstenite's answers go, during one poll.
pub(crate) trait Link {
    /// 0 is the end.
    fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Whether there was room for this control frame.
    fn answer(&mut self, frame: &[u8]) -> bool;
}

/// Reads into the thread's buffer, and gives the bytes to `see`.
pub(crate) fn poll_scratch<T>(
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    see: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    let mut input = Input::default();
    let read = input.poll_fill(read);
    let result = read.map_ok(|_| see(input.rest()));
    input.settle();
    result
}

/// What was read and not looked at yet.
#[derive(Default)]
struct Input {
    /// The thread's buffer, or memory of exactly what is left.
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

impl Input {
    fn holding(bytes: Vec<u8>) -> Self {
        Self { at: 0, end: bytes.len(), bytes }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..self.end]
    }

    /// The next bytes, as many as there are and `most` at the most.
    fn take(&mut self, most: usize) -> &[u8] {
        let start = self.at;
        self.at += most.min(self.end - start);
        &self.bytes[start..self.at]
    }

    /// Reads, when all that was read before has been taken.
    fn poll_fill(&mut self, read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.bytes.len() != READ {
            // Taken, not borrowed: the stream is the user's, and may run anything inside its `poll_read`.
            self.bytes = READ_BUFFER.take();
            self.bytes.resize(READ, 0);
        }
        (self.at, self.end) = (0, 0);
        let read = ready!(read(&mut self.bytes))?;
        self.end = read;
        Poll::Ready(Ok(read))
    }

    /// Gives the thread its buffer back, and keeps what is left in memory of exactly its size.
    fn settle(&mut self) {
        if self.bytes.len() == READ {
            let rest = self.rest().to_vec();
            READ_BUFFER.set(std::mem::replace(self, Self::holding(rest)).bytes);
        } else if self.rest().is_empty() {
            *self = Self::default();
        }
    }
}

/// A frame's header (RFC 6455 section 5.2).
struct Header {
    /// FIN, the reserved bits and the opcode.
    first: u8,
    masked: bool,
    key: [u8; 4],
    /// Of the header itself, in bytes.
    size: usize,
    /// Of the payload, in bytes.
    length: u64,
}

impl Header {
    /// `None` when there is more of it to come.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else { return None };
        let (length, size) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
            length => (u64::from(length), 2),
        };
        let masked = second & 0x80 != 0;
        let key = if masked { *bytes.get(size..)?.first_chunk()? } else { [0; 4] };
        Some(Self { first: *first, masked, key, size: if masked { size + 4 } else { size }, length })
    }

    /// Of data: a first fragment, a further one, or a whole message.
    fn is_data(&self) -> bool {
        self.first & 0x08 == 0
    }

    fn is_final(&self) -> bool {
        self.first & 0x80 != 0
    }
}

/// Where in a frame the reader stands.
enum Place {
    /// At its beginning; so many bytes of the header are in `Reader::header`.
    Header(usize),
    /// In the payload of a message that is one frame.
    Message { header: Header, payload: Vec<u8>, missing: usize },
    /// In a frame that tungstenite reads: how much of the header it has been given, how long that is, and how much of the
    /// payload it has not been given.
    Other { given: usize, size: usize, payload: u64 },
}

/// Reads the messages of one connection.
pub(crate) struct Reader {
    role: Role,
    max_message_size: usize,
    input: Input,
    place: Place,
    header: [u8; MAX_HEADER],
    /// Between the first and the last fragment of a message.
    fragmented: bool,
    /// Made for the first frame that needs it, which many connections never see.
    context: Option<Box<WebSocketContext>>,
    /// tungstenite holds an answer that found no room.
    unanswered: bool,
}

impl Reader {
    /// `early` is what came right behind the handshake.
    pub(crate) fn new(role: Role, early: Vec<u8>, config: &Config) -> Self {
        Self {
            role,
            max_message_size: config.max_message_size,
            input: Input::holding(early),
            place: Place::Header(0),
            header: [0; MAX_HEADER],
            fragmented: false,
            context: None,
            unanswered: false,
        }
    }

    /// The next message or control frame. After an error, or a close frame, there is none.
    pub(crate) fn poll(&mut self, link: &mut impl Link) -> Poll<Result<Received, Error>> {
        if self.unanswered {
            self.flush_answers(link);
        }
        loop {
            match &mut self.place {
                Place::Header(_) => match self.next_header() {
                    Some(header) => self.enter(header)?,
                    None => ready!(self.poll_fill(link))?,
                },
                Place::Message { header, payload, missing } => {
                    let start = payload.len();
                    let bytes = self.input.take(*missing);
                    payload.extend_from_slice(bytes);
                    if header.masked {
                        let mut key = header.key;
                        key.rotate_left(start % 4);
                        frame::mask(&mut payload[start..], key);
                    }
                    *missing -= bytes.len();
                    if *missing == 0 {
                        let (text, payload) = (header.first == frame::Kind::Text as u8, std::mem::take(payload));
                        self.place = Place::Header(0);
                        return Poll::Ready(message(text, payload));
                    }
                    ready!(self.poll_fill(link))?;
                }
                Place::Other { .. } => {
                    if let Some(received) = ready!(self.poll_other(link)) {
                        return Poll::Ready(received);
                    }
                }
            }
        }
    }

    /// The task waits: nothing is kept that it does not need meanwhile.
    pub(crate) fn settle(&mut self) {
        self.input.settle();
    }

    fn poll_fill(&mut self, link: &mut impl Link) -> Poll<Result<(), Error>> {
        match ready!(self.input.poll_fill(|into| link.poll_read(into)))? {
            0 => Poll::Ready(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The next header, if all of it has been read. Its bytes are in `self.header` then, and no longer in the input.
    fn next_header(&mut self) -> Option<Header> {
        let Place::Header(known) = &mut self.place else { return None };
        let rest = self.input.rest();
        let more = rest.len().min(MAX_HEADER - *known);
        self.header[*known..*known + more].copy_from_slice(&rest[..more]);
        let header = Header::parse(&self.header[..*known + more]);
        let used = header.as_ref().map_or(more, |header| header.size - *known);
        *known += used;
        self.input.take(used);
        header
    }

    /// What of a header is against the RFC, whatever stands behind it. It is refused at once, in tungstenite's words: that
    /// would wait for a payload which may never come, and set memory aside for it.
    fn against_the_rules(&self, header: &Header) -> Option<ProtocolError> {
        let opcode = header.first & 0x0f;
        let (is_server, is_control) = (self.role == Role::Server, opcode >= 0x8);
        // In tungstenite's order.
        match opcode {
            0x3..=0x7 | 0xb..=0xf => Some(ProtocolError::InvalidOpcode(opcode)),
            _ if is_server && !header.masked => Some(ProtocolError::UnmaskedFrameFromClient),
            _ if header.first & 0x70 != 0 => Some(ProtocolError::NonZeroReservedBits),
            _ if !is_server && header.masked => Some(ProtocolError::MaskedFrameFromServer),
            _ if is_control && !header.is_final() => Some(ProtocolError::FragmentedControlFrame),
            _ if is_control && header.length > MAX_CONTROL as u64 => Some(ProtocolError::ControlFrameTooBig),
            0 if !self.fragmented => Some(ProtocolError::UnexpectedContinueFrame),
            1 if self.fragmented => Some(ProtocolError::ExpectedFragment(Data::Text)),
            2 if self.fragmented => Some(ProtocolError::ExpectedFragment(Data::Binary)),
            _ => None,
        }
    }

    /// Whose the frame behind this header is.
    fn enter(&mut self, header: Header) -> Result<(), Error> {
        let whole = matches!(header.first, 0x81 | 0x82) && !self.fragmented;
        let fits = usize::try_from(header.length).ok().filter(|length| *length <= self.max_message_size);
        self.place = match fits {
            Some(length) if whole && header.masked == (self.role == Role::Server) => {
                let mut payload = if length <= KEEP { SPARE.take() } else { Vec::new() };
                payload.clear();
                payload.reserve_exact(length.min(AHEAD * self.input.rest().len()));
                Place::Message { header, payload, missing: length }
            }
            _ => {
                if let Some(refusal) = self.against_the_rules(&header) {
                    return Err(Error::Protocol(refusal));
                }
                if header.is_data() {
                    self.fragmented = !header.is_final();
                }
                Place::Other { given: 0, size: header.size, payload: header.length }
            }
        };
        Ok(())
    }

    /// `None` when tungstenite has had all of the frame and waits for the next one.
    fn poll_other(&mut self, link: &mut impl Link) -> Poll<Option<Result<Received, Error>>> {
        let (context, mut fed) = self.fed(link);
        let result = context.read(&mut fed);
        let done = fed.is_done();
        let received = match result {
            Ok(message) => Received::of(message).map(Ok),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if !done {
                    return Poll::Pending;
                }
                None
            }
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        self.place = Place::Header(0);
        if matches!(received, Some(Ok(Received::Ping))) {
            self.flush_answers(link);
        }
        Poll::Ready(received)
    }

    /// Hands over what tungstenite answers.
    ///
    /// When its write buffer is full, it puts the newest pong aside, and a flush that empties the buffer leaves that pong
    /// there. So flush until nothing comes, or there is no room; then the queue polls the reader again when there is.
    fn flush_answers(&mut self, link: &mut impl Link) {
        let (context, mut fed) = self.fed(link);
        let refused = loop {
            fed.answered = false;
            if context.flush(&mut fed).is_err() {
                break true;
            }
            if !fed.answered {
                break false;
            }
        };
        self.unanswered = refused;
    }

    fn fed<'r, L: Link>(&'r mut self, link: &'r mut L) -> (&'r mut WebSocketContext, Fed<'r, L>) {
        let (role, limits) = (self.role, limits(self.max_message_size));
        let context = self.context.get_or_insert_with(|| Box::new(WebSocketContext::new(role, Some(limits))));
        let place = &mut self.place;
        (context, Fed { header: &self.header, place, input: &mut self.input, link, answered: false })
    }
}

/// tungstenite's defaults cost 135 KB a connection, and let a peer that pings without reading fill the memory. Of what it
/// reads it keeps little, as that is one frame at a time, and it writes control frames only.
fn limits(max_message_size: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(512)
        .write_buffer_size(0)
        .max_write_buffer_size(512)
        .max_message_size(Some(max_message_size))
        .max_frame_size(Some(max_message_size))
}

fn message(text: bool, payload: Vec<u8>) -> Result<Received, Error> {
    Ok(Received::Data(if text {
        RawFrame::Text(Cow::Owned(String::from_utf8(payload)?))
    } else {
        RawFrame::Binary(Cow::Owned(payload))
    }))
}

/// The connection as tungstenite sees it: one frame of what comes in, and its own frames out.
struct Fed<'r, L> {
    header: &'r [u8; MAX_HEADER],
    place: &'r mut Place,
    input: &'r mut Input,
    link: &'r mut L,
    /// A frame of tungstenite's found room.
    answered: bool,
}

impl<L> Fed<'_, L> {
    fn is_done(&self) -> bool {
        match &*self.place {
            Place::Other { given, size, payload } => given == size && *payload == 0,
            Place::Header(_) | Place::Message { .. } => true,
        }
    }
}

impl<L: Link> io::Read for Fed<'_, L> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Place::Other { given, size, payload } = &mut *self.place else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let bytes = if given < size {
            let start = *given;
            *given += out.len().min(*size - start);
            &self.header[start..*given]
        } else if *payload > 0 {
            if self.input.rest().is_empty() {
                match self.input.poll_fill(|into| self.link.poll_read(into)) {
                    Poll::Ready(read) => read?,
                    Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
                };
            }
            let bytes = self.input.take(out.len().min(usize::try_from(*payload).unwrap_or(usize::MAX)));
            // No truncation: a length in memory is no longer than 64 bits.
            *payload -= bytes.len() as u64;
            bytes
        } else {
            // The next frame may be none of tungstenite's business.
            return Err(io::ErrorKind::WouldBlock.into());
        };
        out[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl<L: Link> io::Write for Fed<'_, L> {
    /// tungstenite writes whole frames, so its pongs can stand in the queue between ours.
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        if !self.link.answer(frame) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.answered = true;
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::io::{Cursor, Read, Write};

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
            let room = self.room > 0;
            if room {
                self.room -= 1;
                self.answers.extend_from_slice(frame);
            }
            room
        }
    }

    fn reader(role: Role) -> Reader {
        Reader::new(role, Vec::new(), &Config::default().max_message_size(LIMIT))
    }

    /// All that is received, each as text, to the error or the close frame that ends it, and what was answered.
    type Heard = (Vec<String>, Vec<u8>);

    fn hear(role: Role, early: &[u8], link: &mut Pieces<'_>) -> Vec<String> {
        let mut reader = Reader { input: Input::holding(early.to_vec()), ..reader(role) };
        let mut heard = Vec::new();
        loop {
            match reader.poll(link) {
                Poll::Pending => {
                    reader.settle();
                    assert!(reader.input.bytes.len() < READ, "a waiting reader keeps no buffer of the thread's");
                }
                Poll::Ready(Ok(received)) => {
                    heard.push(format!("{received:?}"));
                    if matches!(received, Received::Close(_)) {
                        return heard;
                    }
                }
                Poll::Ready(Err(error)) => {
                    heard.push(error.to_string());
                    return heard;
                }
            }
        }
    }

    /// tungstenite alone, on all bytes at once.
    fn reference(role: Role, bytes: &[u8]) -> Heard {
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
        let (mut whole, mut heard) = (Whole(Cursor::new(bytes), Vec::new()), Vec::new());
        loop {
            match context.read(&mut whole).map(Received::of) {
                Ok(received) => {
                    let received = received.expect("a reader gives no single frames");
                    heard.push(format!("{received:?}"));
                    if matches!(received, Received::Close(_)) {
                        return (heard, whole.1);
                    }
                }
                Err(error) => {
                    heard.push(error.to_string());
                    return (heard, whole.1);
                }
            }
        }
    }

    /// A frame that a peer of `role` may get, and now and then one that it may not.
    fn frame(random: &mut Random, role: Role) -> Vec<u8> {
        let first = match random.below(14) {
            5 | 6 => 0x82,
            7 => 0x01,
            8 => 0x00,
            9 => 0x80,
            10 => 0x89,
            11 => 0x8a,
            12 if random.one_in(10) => 0x88,
            0..=4 | 12 => 0x81,
            _ if random.one_in(4) => random.below(256) as u8,
            _ => 0x82,
        };
        let length = match random.below(10) {
            0 => 0,
            1..=6 => random.below(125),
            7 => random.below(300),
            8 => 900 + random.below(100),
            _ if random.one_in(10) => LIMIT + random.below(70_000),
            _ => 1,
        };
        let masked = (role == Role::Server) != random.one_in(100);
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match length {
            // A longer form than needed now and then, which tungstenite takes.
            0..126 if !random.one_in(50) => bytes.push(mask | length as u8),
            0..65536 => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let key: [u8; 4] = std::array::from_fn(|_| if masked { random.below(256) as u8 } else { 0 });
        if masked {
            bytes.extend_from_slice(&key);
        }
        let broken = random.one_in(40);
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
    fn it_hears_what_tungstenite_hears() {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let (mut messages, mut told_early) = (0, 0);
        for round in 0..3_000 {
            let role = if round % 3 == 0 { Role::Client } else { Role::Server };
            let mut bytes: Vec<u8> = (0..=random.below(12)).flat_map(|_| frame(&mut random, role)).collect();
            let (whole, _) = reference(role, &bytes);
            if random.one_in(4) {
                bytes.truncate(random.below(bytes.len() + 1));
            }
            let (expected, answers) = reference(role, &bytes);
            messages += expected.len();
            let some: Vec<usize> = (0..7).map(|_| 1 + random.below(400)).collect();
            for lengths in [&[1][..], &[usize::MAX], &some] {
                let early = random.below(bytes.len() + 1);
                let mut link = Pieces::new(&bytes[early..], lengths);
                let heard = hear(role, &bytes[..early], &mut link);
                if heard != expected {
                    let ((told, heard), (last, expected)) =
                        (heard.split_last().unwrap(), expected.split_last().unwrap());
                    assert_eq!(heard, expected, "{role:?}, round {round}");
                    let by_its_header = last.contains("too long") && told.contains("protocol error");
                    assert!(
                        by_its_header || Some(told) == whole.get(heard.len()),
                        "{told}, not {last}: {role:?}, round {round}"
                    );
                    told_early += 1;
                }
                // A client's masks are not foreseen.
                if role == Role::Server {
                    assert_eq!(link.answers, answers, "round {round}");
                }
            }
        }
        assert!(
            messages > 8_000 && told_early > 20,
            "{messages} messages, {told_early} told early: the test has lost its point"
        );
    }

    #[test]
    fn an_answer_without_room_is_given_when_there_is_some() {
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
                Poll::Ready(Ok(Received::Data(_))) => break,
                Poll::Ready(other) => panic!("{other:?}"),
                Poll::Pending => {}
            }
        }
        assert_eq!((pings, link.answers.len()), (300, 0));
        link.room = usize::MAX;
        assert!(reader.poll(&mut link).is_pending());
        assert!(link.answers.ends_with(&[0x8a, 0]), "the newest pong comes");
        assert!(link.answers.len() < 600, "and a flood is not answered one by one (RFC 6455 section 5.5.3)");
    }

    #[test]
    fn a_declared_length_gets_no_memory_before_its_bytes_come() {
        let config = Config::default().max_message_size(1 << 30);
        let declared = [&[0x82, 0xff][..], &(1_u64 << 30).to_be_bytes(), &[0; 4], &[7; 10]].concat();
        let mut link = Pieces::new(&declared, &[usize::MAX]);
        let mut reader = Reader::new(Role::Server, Vec::new(), &config);
        SPARE.take();
        while !matches!(reader.place, Place::Message { .. }) {
            let _ = reader.poll(&mut link);
        }
        let Place::Message { payload, missing, .. } = &reader.place else { unreachable!("waited for above") };
        assert_eq!((payload.len(), *missing), (10, (1 << 30) - 10));
        assert!(payload.capacity() <= 10 * AHEAD, "{} bytes", payload.capacity());
    }

    #[test]
    fn a_long_message_leaves_no_memory_behind() {
        let long = RawFrame::Binary(Cow::Owned(Vec::with_capacity(KEEP + 1)));
        SPARE.take();
        recycle(long);
        assert_eq!(SPARE.take().capacity(), 0);
        recycle(RawFrame::Binary(Cow::Owned(Vec::with_capacity(KEEP))));
        assert_eq!(SPARE.take().capacity(), KEEP);
    }
}
