//! The load: a single thread with the connections to all nodes, and the line to the first node,
//! which broadcasts and sends. It checks every message that arrives, and that none is missing.
use super::dialect::{Dialect, Step, first_frame, frame};
use crate::{
    load::{Fault, Latencies, connect, micros},
    request::{ACCEPT, upgrade},
};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    mem,
    net::{self, SocketAddrV4},
    time::{Duration, Instant},
};

/// Time without a message that is still missing, after which a run fails.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// Handshakes in progress at once.
const HANDSHAKES: usize = 64;
/// Connections from one address of the load.
const PORTS: usize = 5000;
/// Maximum number of bytes of one read.
const READ: usize = 64 << 10;

/// The result of a phase.
#[derive(Debug, Default)]
pub(super) struct Phase {
    /// Messages that arrived.
    pub(super) deliveries: u64,
    pub(super) took: Duration,
    pub(super) latencies: Latencies,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Waits for the answer to the handshake.
    Handshake,
    /// Waits for the end of the greeting.
    Greeting,
    Open,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    stage: Stage,
    id: String,
    /// What to write once the socket is connected.
    request: Vec<u8>,
    /// Bytes that are not yet a whole frame.
    unread: Vec<u8>,
}

/// The connections of one cluster.
#[derive(Debug)]
pub(super) struct Load {
    dialect: Dialect,
    silence: Duration,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    /// The number of connections of each node. Their places in `connections` follow each other.
    each: usize,
    lines: net::TcpStream,
    buffer: Box<[u8]>,
    /// Of this turn: connections, and the numbers of the messages that they received.
    arrived: Vec<(usize, u64)>,
    last_arrival: Instant,
    /// The number of the next message.
    next: u64,
}

impl Load {
    /// Opens this many connections to each node. `lines` is the address for lines of the first one.
    pub(super) fn open(
        dialect: Dialect,
        nodes: &[SocketAddrV4],
        each: usize,
        lines: SocketAddrV4,
        silence: Duration,
    ) -> Result<Self, Fault> {
        let lines = net::TcpStream::connect(lines)?;
        lines.set_nodelay(true)?;
        let mut load = Self {
            dialect,
            silence,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            each,
            lines,
            buffer: vec![0; READ].into(),
            arrived: Vec::new(),
            last_arrival: Instant::now(),
            next: 0,
        };
        let mut addresses = nodes.iter().flat_map(|node| (0..each).map(move |_| *node));
        let total = nodes.len() * each;
        let mut open = 0;
        while open < total {
            let room = (open + HANDSHAKES).min(total) - load.connections.len();
            for address in addresses.by_ref().take(room) {
                load.connect(address)?;
            }
            load.turn("the greeting of a connection")?;
            open = load.connections.iter().filter(|connection| connection.stage == Stage::Open).count();
        }
        Ok(load)
    }

    fn connect(&mut self, address: SocketAddrV4) -> io::Result<()> {
        let at = self.connections.len();
        let mut stream = connect(address, at / PORTS)?;
        self.poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
        // Socket.IO answers with an id of its own.
        let id = format!("box-{at}");
        let request = upgrade(&self.dialect.target(&id), "").into_bytes();
        self.connections.push(Connection { stream, stage: Stage::Handshake, id, request, unread: Vec::new() });
        Ok(())
    }

    /// Lets the first node broadcast this many messages, of which at most `in_flight` are not yet
    /// with every connection. A latency is the time until the last connection has the message.
    pub(super) fn broadcast(&mut self, in_flight: usize, messages: u64) -> Result<Phase, Fault> {
        let everyone = self.connections.len();
        let first = self.next;
        let end = first + messages;
        let mut phase = Phase::default();
        // Each message that is not complete: when it was sent, and how many do not have it.
        let mut under_way: VecDeque<(Instant, usize)> = VecDeque::with_capacity(in_flight);
        // The number that each connection has to receive next.
        let mut expected = vec![first; everyone];
        let mut complete = first;
        let start = Instant::now();
        self.last_arrival = start;
        while complete < end {
            let free = (in_flight - under_way.len()).min(usize::try_from(end - self.next).unwrap_or(usize::MAX));
            if free > 0 {
                under_way.extend(std::iter::repeat_n((Instant::now(), everyone), free));
                self.say(&format!("broadcast {} {free}\n", self.next))?;
                self.next += free as u64;
            }
            self.turn("a delivery of a broadcast")?;
            for (at, n) in mem::take(&mut self.arrived) {
                let left = usize::try_from(n - complete.min(n)).ok().and_then(|index| under_way.get_mut(index));
                match left {
                    Some((_, left)) if n == expected[at] => *left -= 1,
                    _ => return Err(Fault(format!("connection {at} received message {n}, not {}", expected[at]))),
                }
                expected[at] += 1;
                phase.deliveries += 1;
            }
            let now = Instant::now();
            while let Some((sent, 0)) = under_way.front() {
                phase.latencies.push((micros(now - *sent), 1));
                under_way.pop_front();
                complete += 1;
            }
        }
        phase.took = start.elapsed();
        Ok(phase)
    }

    /// Lets the first node send this many messages, each to another connection of the second node.
    /// At most `in_flight` have not arrived yet.
    pub(super) fn send(&mut self, in_flight: usize, messages: u64) -> Result<Phase, Fault> {
        let first = self.next;
        let end = first + messages;
        let each = self.each;
        let target = |n: u64| each + usize::try_from(n % each as u64).expect("it is below a length");
        let mut phase = Phase::default();
        // When the messages from `first` were sent, until they arrive.
        let mut sent: Vec<Option<Instant>> = Vec::new();
        let start = Instant::now();
        self.last_arrival = start;
        while phase.deliveries < messages {
            let free = in_flight as u64 - (self.next - first - phase.deliveries);
            let lines: String = (self.next..end.min(self.next + free))
                .map(|n| format!("send {n} {}\n", self.connections[target(n)].id))
                .collect();
            if !lines.is_empty() {
                let count = lines.lines().count();
                sent.extend(std::iter::repeat_n(Some(Instant::now()), count));
                self.next += count as u64;
                self.say(&lines)?;
            }
            self.turn("a sent message")?;
            let now = Instant::now();
            for (at, n) in mem::take(&mut self.arrived) {
                let when = n.checked_sub(first).and_then(|index| sent.get_mut(usize::try_from(index).ok()?)?.take());
                match when {
                    Some(when) if target(n) == at => phase.latencies.push((micros(now - when), 1)),
                    _ => return Err(Fault(format!("connection {at} received message {n}, which is not for it now"))),
                }
                phase.deliveries += 1;
            }
        }
        phase.took = start.elapsed();
        Ok(phase)
    }

    fn say(&mut self, lines: &str) -> Result<(), Fault> {
        Ok(self.lines.write_all(lines.as_bytes())?)
    }

    /// Waits until something arrives, and reads it. `missing` is what the load waits for.
    fn turn(&mut self, missing: &str) -> Result<(), Fault> {
        self.arrived.clear();
        match self.poll.poll(&mut self.events, Some(Duration::from_millis(100))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        let mut progress = false;
        for event in &self.events {
            let at = event.token().0;
            let connection = &mut self.connections[at];
            if event.is_writable() {
                connection.write()?;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                let (before, stage) = (self.arrived.len(), mem::discriminant(&connection.stage));
                connection.read(self.dialect, &mut self.buffer, |n| self.arrived.push((at, n)))?;
                progress |= self.arrived.len() > before || mem::discriminant(&connection.stage) != stage;
            }
        }
        if progress {
            self.last_arrival = Instant::now();
        } else if self.last_arrival.elapsed() > self.silence {
            return Err(Fault(format!("{missing} is missing, and nothing has arrived for {:.1?}", self.silence)));
        }
        Ok(())
    }
}

impl Connection {
    /// Writes the request. It fits into an empty socket, as all later frames do.
    fn write(&mut self) -> Result<(), Fault> {
        if self.request.is_empty() {
            return Ok(());
        }
        match self.stream.write_all(&self.request) {
            Ok(()) => self.request.clear(),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Reads until the socket is empty, and passes on the numbers of the messages.
    fn read(&mut self, dialect: Dialect, buffer: &mut [u8], mut message: impl FnMut(u64)) -> Result<(), Fault> {
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(Fault("a node hangs up".into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.unread.extend_from_slice(&buffer[..length]);
            let bytes = mem::take(&mut self.unread);
            let taken = self.take(dialect, &bytes, &mut message)?;
            self.unread = bytes;
            self.unread.drain(..taken);
            // A short read has emptied the socket, and the next byte is a new event.
            if length < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Returns the number of bytes that were taken.
    fn take(&mut self, dialect: Dialect, bytes: &[u8], message: &mut impl FnMut(u64)) -> Result<usize, Fault> {
        let mut taken = 0;
        if self.stage == Stage::Handshake {
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(0) };
            let answer = &bytes[..end];
            if !answer.starts_with(b"HTTP/1.1 101 ") || !answer.windows(ACCEPT.len()).any(|at| at == ACCEPT.as_bytes())
            {
                return Err(Fault(format!("the handshake failed: {}", answer.escape_ascii())));
            }
            self.stage = if dialect.is_open_at_once() { Stage::Open } else { Stage::Greeting };
            taken = end + 4;
        }
        while let Some((first, payload, length)) = first_frame(&bytes[taken..])? {
            taken += length;
            let step = match first {
                0x81 => dialect.read(payload)?,
                0x89 => Step::Answer(frame(0x8a, payload)),
                0x8a => Step::Nothing,
                _ => return Err(Fault(format!("a frame {first:#x} was not expected: {}", payload.escape_ascii()))),
            };
            match step {
                Step::Nothing => {}
                Step::Answer(frame) => self.stream.write_all(&frame)?,
                Step::Open(id) => (self.stage, self.id) = (Stage::Open, id),
                Step::Message(n) => message(n),
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::dialect::TEXT;
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
        sync::mpsc,
        thread,
    };

    /// The number of connections of each of two nodes.
    const EACH: usize = 3;
    const DEADLINE: Duration = Duration::from_secs(10);

    /// Starts a server of Socket.IO that is two nodes in one. `copies` says how often a message
    /// goes to the connection `own`, if it is for the connection `to`.
    fn start(copies: impl Fn(u64, usize, usize) -> usize + Send + 'static) -> Load {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let lines = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = |listener: &TcpListener| match listener.local_addr().unwrap() {
            net::SocketAddr::V4(address) => address,
            other => panic!("{other} is not of IPv4"),
        };
        let (nodes, line) = (vec![address(&listener); 2], address(&lines));
        let (sender, streams) = mpsc::channel();
        thread::spawn(move || {
            for own in 0..2 * EACH {
                let (mut stream, _) = listener.accept().unwrap();
                let sender = sender.clone();
                thread::spawn(move || {
                    greet(&mut stream, own);
                    sender.send((own, stream)).unwrap();
                });
            }
        });
        thread::spawn(move || {
            let (control, _) = lines.accept().unwrap();
            let mut streams: Vec<_> = streams.iter().collect();
            streams.sort_by_key(|(own, _)| *own);
            let mut pass_on = |n: u64, to: usize| {
                for (own, stream) in &mut streams {
                    for _ in 0..copies(n, *own, to) {
                        // The load may have ended.
                        let _ = stream.write_all(&text(&format!(r#"42["news",{{"n":{n},"text":"{TEXT}"}}]"#)));
                    }
                }
            };
            for line in BufReader::new(control).lines() {
                let Ok(line) = line else { return };
                let words: Vec<&str> = line.split(' ').collect();
                let n: u64 = words[1].parse().unwrap();
                match words[0] {
                    "broadcast" => (n..n + words[2].parse::<u64>().unwrap()).for_each(|n| pass_on(n, usize::MAX)),
                    _ => pass_on(n, words[2].strip_prefix("box-").unwrap().parse().unwrap()),
                }
            }
        });
        Load::open(Dialect::SocketIo, &nodes, EACH, line, DEADLINE).unwrap()
    }

    fn greet(stream: &mut net::TcpStream, own: usize) {
        let mut read = |length: usize| {
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).unwrap();
            bytes
        };
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.extend(read(1));
        }
        assert!(request.starts_with(b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"));
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        // A ping comes with the greeting.
        stream.write_all(&[answer.as_bytes(), &text(r#"0{"sid":"engine"}"#), &text("2"), &[0x89, 0]].concat()).unwrap();
        let mut answers = vec![0; 3 * 6 + 3];
        stream.read_exact(&mut answers).unwrap();
        assert_eq!(answers, [frame(0x81, b"40"), frame(0x81, b"3"), frame(0x8a, b"")].concat());
        stream.write_all(&text(&format!(r#"40{{"sid":"box-{own}"}}"#))).unwrap();
    }

    fn text(text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        match length {
            0..=125 => [&[0x81, length], text.as_bytes()].concat(),
            _ => [&[0x81, 126, 0, length], text.as_bytes()].concat(),
        }
    }

    /// Once to everyone, or once to the right one.
    fn right(_: u64, own: usize, to: usize) -> usize {
        usize::from(to == usize::MAX || to == own)
    }

    #[test]
    fn every_delivery_is_counted() {
        let mut load = start(right);
        for in_flight in [1, 4] {
            let phase = load.broadcast(in_flight, 10).unwrap();
            assert_eq!((phase.deliveries, phase.latencies.len()), (10 * 2 * EACH as u64, 10));
            let phase = load.send(in_flight, 10).unwrap();
            assert_eq!((phase.deliveries, phase.latencies.len()), (10, 10));
        }
    }

    #[test]
    fn a_missing_delivery_is_a_fault() {
        let mut load = start(|n, own, to| if (n, own) == (3, 5) { 0 } else { right(n, own, to) });
        load.silence = Duration::from_millis(200);
        let Fault(why) = load.broadcast(1, 10).unwrap_err();
        assert!(why.starts_with("a delivery of a broadcast is missing"), "{why}");
        let mut load = start(|n, own, to| if n == 3 { 0 } else { right(n, own, to) });
        load.silence = Duration::from_millis(200);
        let Fault(why) = load.send(4, 10).unwrap_err();
        assert!(why.starts_with("a sent message is missing"), "{why}");
    }

    #[test]
    fn a_delivery_out_of_order_is_a_fault() {
        let mut load = start(|n, own, to| if (n, own) == (3, 5) { 0 } else { right(n, own, to) });
        let Fault(why) = load.broadcast(4, 10).unwrap_err();
        assert_eq!(why, "connection 5 received message 4, not 3");
    }

    #[test]
    fn a_duplicate_is_a_fault() {
        let mut load = start(|n, own, to| right(n, own, to) * if (n, own) == (3, 4) { 2 } else { 1 });
        let Fault(why) = load.broadcast(2, 10).unwrap_err();
        assert_eq!(why, "connection 4 received message 3, not 4");
        let mut load = start(|n, own, to| right(n, own, to) * if n == 3 { 2 } else { 1 });
        let Fault(why) = load.send(2, 10).unwrap_err();
        assert!(why.ends_with("received message 3, which is not for it now"), "{why}");
    }

    #[test]
    fn a_message_at_another_connection_is_a_fault() {
        let mut load = start(|_, own, to| usize::from(own + 1 == to));
        let Fault(why) = load.send(1, 10).unwrap_err();
        assert!(why.ends_with("received message 0, which is not for it now"), "{why}");
    }
}
