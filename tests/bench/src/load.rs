//! The load generator: one thread, one epoll loop, frames that were encoded before. It checks the
//! replies, and gives up on a server that is silent for too long.
use crate::{
    message::{Replies, Script, Wrong},
    request::{ACCEPT, upgrade},
};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use nix::{
    errno::Errno,
    libc::linger,
    sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt},
};
use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read, Write},
    iter,
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
    os::fd::AsRawFd,
    rc::Rc,
    time::{Duration, Instant},
};

/// Time without a byte from the server after which a run fails. The longest valid silence is a
/// broadcast to thousands of connections.
const SILENCE: Duration = Duration::from_secs(10);
/// Time limit for all work of one server, for a server that sends bytes but never finishes. The
/// longest workload, the growth, takes a slow server a quarter of that.
const LONGEST: Duration = Duration::from_secs(120);
/// Handshakes in progress at once: fewer than the backlog of every server.
const HANDSHAKES: usize = 64;
/// Connections from one address. The kernel searches for a free port, which takes long when half of
/// them are in use.
const PORTS: usize = 5000;
/// Maximum number of bytes of one read.
const READ: usize = 256 << 10;

/// Maximum length of the answer to a handshake; every server's is shorter.
const LONGEST_ANSWER: usize = 4096;

/// Why a run ended early.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

impl From<Wrong> for Fault {
    fn from(Wrong(why): Wrong) -> Self {
        Self(format!("wrong reply: {why}"))
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Durations in microseconds, each with how many items took that long.
pub(crate) type Latencies = Vec<(f64, u32)>;

/// The result of a phase, from its first message until all replies are back, so that its work is
/// not counted elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Phase {
    /// Replies, or deliveries of a broadcast.
    pub(crate) messages: u64,
    pub(crate) took: Duration,
    pub(crate) latencies: Latencies,
}

/// When a phase stops sending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    pub(crate) duration: Duration,
    /// Minimum number of batches or publishes: a few long ones alone are not significant.
    pub(crate) at_least: u32,
}

#[derive(Debug)]
enum Stage {
    /// Waits for the answer to the handshake, and holds its bytes so far.
    Handshake(Vec<u8>),
    Open,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    stage: Stage,
    replies: Replies,
    /// The bytes that the socket had no room for, and how many of the first are written.
    waiting: VecDeque<Rc<[u8]>>,
    written: usize,
    /// Messages without a reply yet.
    outstanding: u32,
    /// When these messages, or the handshake, started.
    since: Instant,
}

/// The result of one turn of the loop: connections, and the number of replies on each. Zero replies
/// mean that a handshake has finished.
type Arrived = Vec<(usize, u32)>;

/// Connections to one server.
#[derive(Debug)]
pub(crate) struct Load {
    poll: Poll,
    events: Events,
    address: SocketAddrV4,
    script: Script,
    connections: Vec<Connection>,
    buffer: Box<[u8]>,
    request: Rc<[u8]>,
    started: Instant,
    /// When the server last sent something.
    last_byte: Instant,
}

impl Load {
    pub(crate) fn new(address: SocketAddrV4, script: Script) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            address,
            script,
            connections: Vec::new(),
            buffer: vec![0; READ].into(),
            request: upgrade("/ws", "").into_bytes().into(),
            started: Instant::now(),
            last_byte: Instant::now(),
        })
    }

    /// Changes the script, and checks the first replies in full again. No message may be
    /// outstanding.
    pub(crate) fn set_script(&mut self, script: Script) {
        self.script = script;
        for connection in &mut self.connections {
            connection.replies = Replies::default();
        }
    }

    /// Opens connections until there are this many. Returns how long each handshake took, including
    /// its TCP connection.
    pub(crate) fn open(&mut self, total: usize) -> Result<Latencies, Fault> {
        let mut arrived = Arrived::new();
        let mut latencies = Latencies::new();
        let mut open = self.connections.len();
        self.last_byte = Instant::now();
        while open < total {
            while self.connections.len() < total.min(open + HANDSHAKES) {
                self.connect()?;
            }
            self.turn(&mut arrived)?;
            let now = Instant::now();
            open += arrived.len();
            latencies.extend(arrived.iter().map(|(at, _)| (micros(now - self.connections[*at].since), 1)));
        }
        Ok(latencies)
    }

    fn connect(&mut self) -> io::Result<()> {
        let mut stream = connect(self.address, self.connections.len() / PORTS)?;
        let token = Token(self.connections.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.connections.push(Connection {
            stream,
            stage: Stage::Handshake(Vec::new()),
            replies: Replies::default(),
            // Is written when the socket reports that it is connected.
            waiting: VecDeque::from([self.request.clone()]),
            written: 0,
            outstanding: 0,
            since: Instant::now(),
        });
        Ok(())
    }

    /// Sends a batch on each of these connections and waits for the replies. After that the server
    /// has registered them, and a batch of each was checked in full.
    pub(crate) fn greet(&mut self, connections: Range<usize>) -> Result<(), Fault> {
        let mut arrived = Arrived::new();
        let mut under_way = 0;
        let mut next = connections.start;
        self.last_byte = Instant::now();
        while next < connections.end || under_way > 0 {
            while next < connections.end && under_way < HANDSHAKES {
                self.send(next)?;
                next += 1;
                under_way += 1;
            }
            self.turn(&mut arrived)?;
            for (at, replies) in &arrived {
                under_way -= usize::from(self.is_complete(*at, *replies)?);
            }
        }
        Ok(())
    }

    /// Sends a batch on every connection, and the next one when all of its replies are back.
    pub(crate) fn exchange(&mut self, until: Until) -> Result<Phase, Fault> {
        let mut arrived = Arrived::new();
        let mut phase = Phase::default();
        let start = Instant::now();
        self.last_byte = start;
        for at in 0..self.connections.len() {
            self.send(at)?;
        }
        let mut under_way = self.connections.len();
        let mut batches = 0;
        while under_way > 0 {
            self.turn(&mut arrived)?;
            let now = Instant::now();
            let continues = now - start < until.duration || batches < until.at_least;
            for (at, replies) in &arrived {
                phase.messages += u64::from(*replies);
                phase.latencies.push((micros(now - self.connections[*at].since), *replies));
                if self.is_complete(*at, *replies)? {
                    batches += 1;
                    if continues {
                        self.send(*at)?;
                    } else {
                        under_way -= 1;
                    }
                }
            }
        }
        phase.took = start.elapsed();
        Ok(phase)
    }

    /// Publishes on the first connection; every connection gets the message, the first one
    /// included. `in_flight` publishes are in progress at once. A latency is the time until the
    /// last connection has the message.
    pub(crate) fn broadcast(&mut self, in_flight: usize, until: Until) -> Result<Phase, Fault> {
        let everyone = self.connections.len();
        let mut arrived = Arrived::new();
        let mut phase = Phase::default();
        // Each publish that is not complete: when it was sent, and how many connections do not have
        // it yet.
        let mut under_way: VecDeque<(Instant, usize)> = VecDeque::with_capacity(in_flight);
        // How many publishes are complete, and how many each connection has.
        let (mut complete, mut received) = (0, vec![0; everyone]);
        let start = Instant::now();
        self.last_byte = start;
        let mut now = start;
        let mut free = in_flight;
        loop {
            if now - start < until.duration || complete < until.at_least as usize {
                if free > 0 {
                    // In one write, because they became free at the same time.
                    self.write(0, self.script.frames.repeat(free).into())?;
                }
                under_way.extend(iter::repeat_n((now, everyone), free));
                free = 0;
            } else if under_way.is_empty() {
                break;
            }
            self.turn(&mut arrived)?;
            for (at, deliveries) in &arrived {
                for _ in 0..*deliveries {
                    // Each connection gets them in order.
                    let Some((_, left)) = under_way.get_mut(received[*at] - complete) else {
                        return Err(Fault(format!("connection {at} received a message that was not published")));
                    };
                    received[*at] += 1;
                    *left -= 1;
                }
                phase.messages += u64::from(*deliveries);
            }
            now = Instant::now();
            while let Some((sent, 0)) = under_way.front() {
                phase.latencies.push((micros(now - *sent), 1));
                under_way.pop_front();
                complete += 1;
                free += 1;
            }
        }
        phase.took = start.elapsed();
        Ok(phase)
    }

    /// Sends messages at this rate, on one connection after the other, without waiting for the
    /// replies.
    pub(crate) fn paced(&mut self, rate: u32, duration: Duration) -> Result<Phase, Fault> {
        let mut arrived = Arrived::new();
        let mut phase = Phase::default();
        let total = u64::from(rate) * u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) / 1000;
        let (mut sent, mut next) = (0, 0);
        let start = Instant::now();
        self.last_byte = start;
        while phase.messages < total {
            // epoll sleeps whole milliseconds, so the messages of one millisecond are sent
            // together, each on a connection of its own.
            let due =
                (u64::from(rate) * u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX) / 1000).min(total);
            while sent < due {
                self.send(next)?;
                next = (next + 1) % self.connections.len();
                sent += 1;
            }
            self.turn_for(&mut arrived, Duration::from_millis(1))?;
            if sent == phase.messages {
                // Silence is valid while no reply is outstanding.
                self.last_byte = Instant::now();
            }
            for (at, replies) in &arrived {
                self.is_complete(*at, *replies)?;
                phase.messages += u64::from(*replies);
            }
        }
        phase.took = start.elapsed();
        Ok(phase)
    }

    /// Sends a batch on this connection.
    fn send(&mut self, at: usize) -> Result<(), Fault> {
        let connection = &mut self.connections[at];
        if connection.outstanding == 0 {
            connection.since = Instant::now();
        }
        connection.outstanding += self.script.batch;
        self.write(at, self.script.frames.clone())
    }

    /// Counts replies. Returns whether they were the last outstanding ones.
    fn is_complete(&mut self, at: usize, replies: u32) -> Result<bool, Fault> {
        let outstanding = &mut self.connections[at].outstanding;
        *outstanding = outstanding
            .checked_sub(replies)
            .ok_or_else(|| Fault(format!("connection {at} received more replies than it had sent messages")))?;
        Ok(*outstanding == 0)
    }

    fn write(&mut self, at: usize, bytes: Rc<[u8]>) -> Result<(), Fault> {
        let connection = &mut self.connections[at];
        connection.waiting.push_back(bytes);
        // Otherwise the socket is full, and reports when it has room.
        if connection.waiting.len() == 1 { connection.flush() } else { Ok(()) }
    }

    /// Waits until something arrives.
    fn turn(&mut self, arrived: &mut Arrived) -> Result<(), Fault> {
        self.turn_for(arrived, Duration::from_millis(500))
    }

    /// Waits at most this long, and reads what has arrived. A server that has been silent for too
    /// long is a fault.
    fn turn_for(&mut self, arrived: &mut Arrived, longest: Duration) -> Result<(), Fault> {
        arrived.clear();
        match self.poll.poll(&mut self.events, Some(longest)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        if self.events.is_empty() {
            let silence = self.last_byte.elapsed();
            if silence < SILENCE {
                return Ok(());
            }
            let waiting = self.connections.iter().filter(|connection| connection.is_waiting()).count();
            return Err(Fault(format!("stuck: nothing from the server for {silence:.1?}, {waiting} connections wait")));
        }
        self.last_byte = Instant::now();
        if self.last_byte - self.started > LONGEST {
            return Err(Fault(format!("slow: not done after {LONGEST:?}")));
        }
        for event in &self.events {
            let at = event.token().0;
            let connection = &mut self.connections[at];
            if event.is_writable() {
                connection.flush()?;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                let was_open = matches!(connection.stage, Stage::Open);
                let replies = connection.read(&mut self.buffer, &self.script)?;
                let is_open = matches!(connection.stage, Stage::Open);
                if replies > 0 || was_open != is_open {
                    arrived.push((at, replies));
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    fn is_waiting(&self) -> bool {
        self.outstanding > 0 || matches!(self.stage, Stage::Handshake(_))
    }

    fn flush(&mut self) -> Result<(), Fault> {
        while let Some(first) = self.waiting.front() {
            match self.stream.write(&first[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => break,
                Err(error) => return Err(error.into()),
            }
            if self.written == first.len() {
                self.waiting.pop_front();
                self.written = 0;
            }
        }
        Ok(())
    }

    /// Reads until the socket is empty. Returns how many replies are complete.
    fn read(&mut self, buffer: &mut [u8], script: &Script) -> Result<u32, Fault> {
        let mut replies = 0;
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(Fault("the server hangs up".into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(replies),
                Err(error) => return Err(error.into()),
            };
            let mut bytes = &buffer[..length];
            if let Stage::Handshake(answer) = &mut self.stage {
                answer.extend_from_slice(bytes);
                let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
                    if answer.len() > LONGEST_ANSWER {
                        return Err(Fault("the answer to a handshake is too long".into()));
                    }
                    continue;
                };
                if !answer.starts_with(b"HTTP/1.1 101 ")
                    || !answer[..end].windows(ACCEPT.len()).any(|at| at == ACCEPT.as_bytes())
                {
                    return Err(Fault(format!("the handshake failed: {}", answer[..end].escape_ascii())));
                }
                // The bytes after the answer.
                bytes = &bytes[length - (answer.len() - end - 4)..];
                self.stage = Stage::Open;
            }
            replies += self.replies.take(bytes, &script.expected)?;
            // A short read has emptied the socket, and the next byte is a new event.
            if length < buffer.len() {
                return Ok(replies);
            }
        }
    }
}

/// Starts a connection from the loopback address with this number.
pub(crate) fn connect(to: SocketAddrV4, from: usize) -> io::Result<TcpStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    // Closes with a reset: otherwise tens of thousands of sockets would wait for a minute after
    // their close, and slow down the handshakes of the next server.
    socket::setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    let [a, b, c, d] = Ipv4Addr::LOCALHOST.octets();
    let from = d.saturating_add(u8::try_from(from).unwrap_or(u8::MAX));
    socket::bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, from, 0))?;
    match socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from_std(socket.into())),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1000.0
}
