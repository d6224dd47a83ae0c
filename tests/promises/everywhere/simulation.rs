//! The real hub and the real client in a simulated network with all its faults: partitions (also in
//! one direction), lost and reordered segments, stalls, slow links, and programs that crash or stop
//! for a while. Meanwhile both ends close connections now and then, and a peer that is not wsx
//! sends fragments. Row R12 of the specification.
//!
//! turmoil runs the network and the clock. A seed decides which faults happen, and when. The
//! library draws random numbers of its own, so a seed repeats the faults, but not always the whole
//! run. The simulation asserts:
//!
//! - On each connection the first part of the accepted messages arrives, in order; nothing arrives
//!   twice. If an end closes while the network works, all of them arrive.
//! - The messages that were accepted and not handled are within the bounds of `Config`, plus the
//!   segments that the network may hold.
//! - At most one connection of an id is open.
//! - After the faults every client is connected again. Within [`SETTLED`] everything accepted is
//!   handled, in both directions, and every answer has arrived.
//! - After the shutdown there is no task, the hub is empty, and the observer has seen a close for
//!   each open. A program that crashed leaves nothing.
//!
//! What turmoil cannot do is imitated:
//!
//! - A link has no bandwidth. So each write is at most one segment, and few segments are on their
//!   way at a time. The latency then makes the link slow.
//! - A program cannot be stopped. So all its links are held, and when they are released, its clock
//!   jumps by the time of the stop. Its peers see a stopped program. The program itself sees what
//!   it sees after a stop, all timers due and the input waiting, but it also ran before that.
//!
//! `cargo test --package wsx-tests --test simulation` runs 50 seeds, and 4 each of the requests and
//! the kept messages beside it. `WSX_SEEDS=17` runs one, and `WSX_SEEDS=0..1000` a range. A failure
//! names its seed.
#[path = "simulation/disk.rs"]
mod disk;
#[path = "simulation/raw_peer.rs"]
mod raw_peer;
#[path = "simulation/segments.rs"]
mod segments;
#[path = "simulation/simulated_delivery.rs"]
mod simulated_delivery;
#[path = "simulation/simulated_requests.rs"]
mod simulated_requests;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use raw_peer::raw_peer;
use segments::Segments;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    ops::{AddAssign, Range},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinSet,
    time::{advance, sleep, timeout},
};
use turmoil::{
    Sim,
    net::{TcpListener, TcpStream},
};
use wsx::{
    Backoff, CancellationToken, Client, ClientState, Closed, Config, Connection, HandlerError, Hub, Observer,
    SendError, connection::Sending,
};
use wsx_tests::query_id;

const STATION: &str = "station";
const PORT: u16 = 9001;
/// How long the network works before every client must be connected again: time to detect a dead
/// link, close it, wait, and dial.
const CALM: Duration = Duration::from_secs(15);
/// How long the network fails while the programs are silent. A cut of some seconds loses a ping,
/// and then the link is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// Time limit for what happens at once in a network that works.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// How long after [`CALM`] everything accepted must be handled and answered. The slowest link
/// carries 40 KB/s, so it needs some seconds for a full queue with a long message.
const SETTLED: Duration = Duration::from_secs(30);
/// Maximum length of a message's padding, in bytes. A write of the engine is 64 KiB, unless a
/// single frame is longer.
const LONGEST: usize = 400_000;
/// Maximum length of a write that has several frames, in bytes.
const BATCH: usize = 64 * 1024;

#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry {
    message: Numbered,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Command {
    message: Numbered,
}

/// The answer to each telemetry message.
#[derive(Serialize, Deserialize, wsx::Message)]
struct Receipt {
    number: u64,
}

/// The answer to each command.
#[derive(Serialize, Deserialize, wsx::Message)]
struct Confirmation {
    number: u64,
}

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Up,
    Down,
}

#[derive(Serialize, Deserialize)]
struct Numbered {
    /// The sender's end of the connection that the message was accepted for; `None` for a
    /// broadcast.
    link: Option<u64>,
    number: u64,
    /// Whether it was sent after the faults.
    proof: bool,
    padding: String,
}

/// An end of a connection, numbered in the order of opening.
#[derive(Clone, Copy)]
struct Link(u64);

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Phase {
    /// The network fails, and the programs send.
    Faults,
    /// The network still fails, but the programs are silent, unless the world is loud.
    Silence,
    /// The network works.
    Calm,
    Proof,
    /// The first end shuts down, then the other.
    End(usize),
}

/// Why a message is sent.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ordinary,
    /// One of many, without a pause between them.
    Burst,
    /// After the faults, to prove that the connection works.
    Proof,
    /// Before a close, which has its time limit.
    Last,
}

/// A message, at its sender.
struct Sent {
    number: u64,
    fate: Fate,
    is_broadcast: bool,
    /// The earlier ones that it may overtake. A broadcast to a full queue leaves its place among
    /// the sends that wait for room. So it has no order with those that wait at the same time.
    overtakes: BTreeSet<u64>,
}

impl Sent {
    /// Returns a message that is sent after `before`.
    fn after(before: &[Self], number: u64, is_broadcast: bool) -> Self {
        let waiting = before.iter().filter(|sent| sent.fate == Fate::Unknown && (is_broadcast || sent.is_broadcast));
        Self { number, fate: Fate::Unknown, is_broadcast, overtakes: waiting.map(|sent| sent.number).collect() }
    }
}

/// What happened to a message at its sender.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// The send was dropped while it waited, or its program crashed.
    Unknown,
    Accepted,
    Failed,
}

/// The settings of one seed, and the records of its programs.
struct World {
    /// The clients: the boxes, then the raw peer.
    peers: Vec<String>,
    config: Config,
    /// Maximum length of a segment of the network, in bytes.
    segment: usize,
    /// How many segments may be on their way in one direction of a connection.
    window: usize,
    /// Whether the programs always send. Otherwise only the heartbeat can detect a link that dies
    /// in the silence.
    loud: bool,
    /// Which end shuts down first: the station, or the boxes.
    station_first: bool,
    phase: watch::Sender<Phase>,
    /// By program: its number of stops, and the length of the last one.
    stops: BTreeMap<String, watch::Sender<(u64, Duration)>>,
    numbers: AtomicU64,
    books: Mutex<Books>,
}

/// The messages of a sender's end that were accepted and not handled. A broadcast does not count.
#[derive(Default)]
struct Outstanding {
    /// The length of each.
    lengths: BTreeMap<u64, usize>,
    /// The sum of the lengths.
    bytes: usize,
}

#[derive(Default)]
struct Books {
    /// By the sender's end, in the order of the sends.
    sent: BTreeMap<u64, Vec<Sent>>,
    /// By the receiver's end: the sender's end and the message.
    arrived: BTreeMap<u64, Vec<(Option<u64>, u64)>>,
    /// By the receiver's end: the answers to the messages that it has sent.
    receipts: BTreeMap<u64, Vec<u64>>,
    /// By the sender's end.
    outstanding: BTreeMap<u64, Outstanding>,
    /// The ends of wsx.
    ends: BTreeMap<u64, Connection>,
    /// The receiver's end of each sender's end.
    receivers: BTreeMap<u64, u64>,
    /// The lengths of messages that were not yet accepted.
    lengths: BTreeMap<u64, usize>,
    /// The senders' ends that sent a proof, and whether its receiver answers.
    proven: Vec<(u64, bool)>,
    /// The number of messages that the raw peers sent in fragments.
    fragmented: u64,
    /// The number of messages of more than [`BATCH`] bytes that were handled.
    long: u64,
    /// The number of connections that the heartbeat ended.
    unanswered: u64,
    /// The senders' ends that closed after their last message, while the network worked, and the
    /// ids of their connections.
    completed: BTreeMap<u64, String>,
    /// The boxes whose message arrived after the faults, with the direction.
    proofs: BTreeSet<(String, Direction)>,
    programs: Vec<(String, Weak<Census>)>,
    wrong: Vec<String>,
}

/// The connections of one program between two crashes.
struct Census {
    name: String,
    world: Arc<World>,
    opened: AtomicU64,
    closed: AtomicU64,
}

/// An observer that the library owns.
struct Counted(Arc<Census>);

impl Observer for Counted {
    fn connection_opened(&self, _: &Connection) {
        self.0.opened.fetch_add(1, Ordering::Relaxed);
    }
    fn connection_closed(&self, _: &Connection, closed: &Closed) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
        if closed.reason.contains("did not answer a ping") {
            self.0.world.books().unanswered += 1;
        }
    }
    fn handler_failed(&self, _: &Connection, message_type: &str, error: &HandlerError) {
        self.0.world.wrong(format!("{}: {message_type}: {error}", self.0.name));
    }
    fn message_ignored(&self, _: &Connection, message_type: &str) {
        self.0.world.wrong(format!("{}: no handler for {message_type:?}", self.0.name));
    }
}

impl Census {
    /// After a shutdown: asserts that every connection has closed, and that no task runs.
    async fn conclude(&self) {
        let alive = || Handle::current().metrics().num_alive_tasks();
        let left = timeout(TIME_LIMIT, async {
            while alive() > 0 {
                sleep(Duration::from_millis(50)).await;
            }
        });
        if left.await.is_err() {
            self.world.wrong(format!("{}: {} tasks still run", self.name, alive()));
        }
        let (opened, closed) = (self.opened.load(Ordering::Relaxed), self.closed.load(Ordering::Relaxed));
        if opened != closed {
            self.world.wrong(format!("{}: {opened} connections opened and {closed} closed", self.name));
        }
    }
}

impl World {
    fn new(dice: &mut SmallRng) -> Arc<Self> {
        let mut config = Config::default()
            .write_timeout(Duration::from_secs(2))
            .close_timeout(Duration::from_secs(2))
            .handshake_timeout(Duration::from_secs(3))
            .queue_messages(dice.random_range(1..64))
            .queue_bytes([8, 32, 128][dice.random_range(0..3)] * 1024)
            .backlog_messages(dice.random_range(1..64))
            .backlog_bytes([8, 32, 128][dice.random_range(0..3)] * 1024);
        let loud = dice.random_bool(0.3);
        if !loud || dice.random_bool(0.5) {
            // More than the longest round trip.
            config = config.heartbeat(Duration::from_secs(1), Duration::from_millis(1500));
        }
        let mut peers: Vec<_> = (0..dice.random_range(1..=4)).map(|n| format!("box-{n}")).collect();
        peers.push("raw".to_owned());
        let programs = peers.iter().cloned().chain([STATION.to_owned()]);
        let stops = programs.map(|name| (name, watch::Sender::new((0, Duration::ZERO)))).collect();
        Arc::new(Self {
            peers,
            stops,
            config,
            segment: [536, 1460, 9000][dice.random_range(0..3)],
            window: dice.random_range(8..64),
            loud,
            station_first: dice.random_bool(0.5),
            phase: watch::Sender::new(Phase::Faults),
            numbers: AtomicU64::new(1),
            books: Mutex::default(),
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nothing panics under this lock")
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn wrong(&self, what: String) {
        self.books().wrong.push(what);
    }

    fn is_busy(&self) -> bool {
        let phase = *self.phase.borrow();
        phase == Phase::Faults || self.loud && phase < Phase::Proof
    }

    /// Waits for a phase.
    async fn reach(&self, least: Phase) {
        // The sender is a field of this world, so waiting cannot fail.
        let _ = self.phase.subscribe().wait_for(|phase| *phase >= least).await;
    }

    /// Makes the clock of a program jump after each of its stops, until the result is dropped.
    fn follow_stops(&self, name: &str) -> JoinSet<()> {
        let mut stops = self.stops[name].subscribe();
        let mut following = JoinSet::new();
        following.spawn(async move {
            while stops.changed().await.is_ok() {
                let (_, length) = *stops.borrow_and_update();
                advance(length).await;
            }
        });
        following
    }

    /// Waits for this end's turn to shut down.
    async fn end(&self, station: bool) {
        self.reach(Phase::End(usize::from(station != self.station_first))).await;
    }

    fn start_program(self: &Arc<Self>, name: &str) -> Arc<Census> {
        let (opened, closed) = (AtomicU64::new(0), AtomicU64::new(0));
        let census = Arc::new(Census { name: name.to_owned(), world: self.clone(), opened, closed });
        self.books().programs.push((name.to_owned(), Arc::downgrade(&census)));
        census
    }

    /// For `register`.
    fn link(self: &Arc<Self>) -> impl Fn(&Connection) + Send + Sync + 'static {
        let world = self.clone();
        move |conn| {
            let number = world.number();
            conn.set_extension(Link(number));
            world.books().ends.insert(number, conn.clone());
        }
    }

    /// Makes a message for this connection and records it in the order of sends. The caller sends
    /// it at once.
    fn message(&self, conn: &Connection, dice: &mut SmallRng, kind: Kind) -> (Numbered, u64) {
        let link: Link = conn.extension().expect("`register` has set it");
        (self.message_on(link, dice, kind), link.0)
    }

    fn message_on(&self, Link(link): Link, dice: &mut SmallRng, kind: Kind) -> Numbered {
        let number = self.number();
        // Mostly small, now and then more than one segment of most networks, or one write.
        let longest = match kind {
            Kind::Ordinary if dice.random_bool(0.005) => LONGEST,
            Kind::Ordinary => [16, 16, 200, 5000][dice.random_range(0..4)],
            Kind::Burst => 5000,
            Kind::Proof | Kind::Last => 200,
        };
        // Two bytes each, so that a fragment may end between them.
        let padding = "\u{e4}".repeat(dice.random_range(0..longest / 2));
        let mut books = self.books();
        let sent = books.sent.entry(link).or_default();
        sent.push(Sent::after(sent, number, false));
        books.lengths.insert(number, padding.len());
        Numbered { link: Some(link), number, proof: kind == Kind::Proof, padding }
    }

    fn decide(&self, link: u64, number: u64, fate: Fate) {
        let mut books = self.books();
        let sent = books.sent.get_mut(&link).expect("the message was recorded");
        // It is among the last ones.
        let entry = sent.iter_mut().rev().find(|sent| sent.number == number).expect("the message was recorded");
        entry.fate = fate;
        // It may have arrived already, and a broadcast has no length.
        let Some(length) = books.lengths.remove(&number).filter(|_| fate == Fate::Accepted) else { return };
        let outstanding = books.outstanding.entry(link).or_default();
        outstanding.lengths.insert(number, length);
        outstanding.bytes += length;
        let bounded = self.bounded(outstanding);
        // An end that is closing reads on, and drops messages instead of handling them. A program
        // closes an end, and so does a hub whose broadcasts find it too slow.
        let is_open = books
            .receivers
            .get(&link)
            .is_some_and(|receiver| !books.ends.get(receiver).is_some_and(Connection::is_closed));
        if let Err(why) = bounded.or_else(|why| if is_open { Err(why) } else { Ok(()) }) {
            books.wrong.push(format!("on {link}: {why}"));
        }
    }

    /// Asserts that the messages on their way are within the bounds: the queue, a write, the
    /// network, a read, the message of the reader, the backlog. Each bound may be exceeded by a
    /// message.
    fn bounded(&self, outstanding: &Outstanding) -> Result<(), String> {
        let longest = outstanding.lengths.values().copied().max().unwrap_or(0);
        let network = (self.window + 2) * self.segment;
        let bytes = self.config.queue_bytes + BATCH + network + BATCH + self.config.backlog_bytes + 4 * longest;
        if outstanding.bytes > bytes {
            return Err(format!("{} bytes are accepted and not handled, of at most {bytes}", outstanding.bytes));
        }
        // A message has at least this many bytes of JSON.
        let messages = self.config.queue_messages + self.config.backlog_messages + (2 * BATCH + network) / 80 + 4;
        let count = outstanding.lengths.len();
        if count > messages {
            Err(format!("{count} messages are accepted and not handled, of at most {messages}"))
        } else {
            Ok(())
        }
    }

    /// Sends, sometimes with a short time limit.
    async fn send<T>(
        &self,
        sending: impl Future<Output = Result<T, SendError>>,
        link: u64,
        number: u64,
        dice: &mut SmallRng,
    ) {
        let limit = Duration::from_millis(if dice.random_bool(0.2) { dice.random_range(1..50) } else { 60_000 });
        match timeout(limit, sending).await {
            Ok(Ok(_)) => self.decide(link, number, Fate::Accepted),
            Ok(Err(SendError::Closed | SendError::NotConnected | SendError::NoSuchConnection(_))) => {
                self.decide(link, number, Fate::Failed);
            }
            Ok(Err(error)) => self.wrong(format!("a send failed: {error}")),
            Err(_) => {}
        }
    }

    /// Sometimes closes a connection during the faults.
    fn close_sometimes(&self, conn: &Connection, dice: &mut SmallRng) {
        if dice.random_bool(0.02) && *self.phase.borrow() == Phase::Faults {
            conn.close();
        }
    }

    /// Sends the last messages before a close.
    async fn last_messages<'c>(
        &self,
        conn: &'c Connection,
        dice: &mut SmallRng,
        send: impl Fn(Numbered) -> Sending<'c>,
    ) {
        for _ in 0..dice.random_range(1..20) {
            let (message, link) = self.message(conn, dice, Kind::Last);
            let number = message.number;
            self.books().completed.insert(link, conn.id().to_owned());
            match send(message).await {
                Ok(()) => self.decide(link, number, Fate::Accepted),
                Err(error) => self.wrong(format!("a message before a close: {error}")),
            }
        }
    }

    /// Records a message in its handler.
    fn arrived(&self, conn: &Connection, message: &Numbered, peer: &str, direction: Direction) {
        let Link(link) = conn.extension().expect("`register` has set it");
        self.arrived_on(link, message, peer, direction);
    }

    fn arrived_on(&self, link: u64, message: &Numbered, peer: &str, direction: Direction) {
        let mut books = self.books();
        books.arrived.entry(link).or_default().push((message.link, message.number));
        if let Some(sender) = message.link {
            books.receivers.insert(sender, link);
            books.lengths.remove(&message.number);
            if let Some(outstanding) = books.outstanding.get_mut(&sender) {
                outstanding.bytes -= outstanding.lengths.remove(&message.number).unwrap_or(0);
            }
        }
        books.long += u64::from(message.padding.len() > BATCH);
        if message.proof {
            books.proofs.insert((peer.to_owned(), direction));
        }
    }

    /// Records an answer in its handler.
    fn answered(&self, conn: &Connection, number: u64) {
        let Link(link) = conn.extension().expect("`register` has set it");
        self.books().receipts.entry(link).or_default().push(number);
    }

    /// Whether everything that was accepted before the proofs is handled and answered. Otherwise
    /// returns what is missing.
    fn settled(&self) -> Result<(), String> {
        let books = self.books();
        let proofs = 2 * self.peers.len();
        if books.proofs.len() < proofs || books.proven.len() < proofs {
            return Err(format!("only {:?} arrived", books.proofs));
        }
        for (link, answers) in &books.proven {
            let waiting = books.outstanding.get(link).map_or(0, |outstanding| outstanding.lengths.len());
            let handled =
                books.receivers.get(link).and_then(|receiver| books.arrived.get(receiver)).map_or(0, Vec::len);
            let answered = books.receipts.get(link).map_or(0, Vec::len);
            if waiting > 0 || *answers && answered < handled {
                return Err(format!("on {link}: {waiting} are not handled, {handled} are, {answered} are answered"));
            }
        }
        Ok(())
    }
}

/// Some handlers take longer than others.
async fn work(number: u64) {
    if number.is_multiple_of(101) {
        sleep(Duration::from_millis(600)).await;
    } else if number.is_multiple_of(13) {
        sleep(Duration::from_millis(number % 100)).await;
    }
}

/// How many messages a sender sends at once.
fn round(dice: &mut SmallRng) -> (u64, Kind) {
    if dice.random_bool(0.03) {
        (dice.random_range(50..300), Kind::Burst)
    } else {
        (dice.random_range(1..6), Kind::Ordinary)
    }
}

async fn pause(dice: &mut SmallRng, longest: u64) {
    sleep(Duration::from_millis(dice.random_range(5..longest))).await;
}

/// The program of the server.
async fn station(world: Arc<World>, seed: u64) -> turmoil::Result {
    let census = world.start_program(STATION);
    let stops = world.follow_stops(STATION);
    let mut dice = SmallRng::seed_from_u64(seed);
    let (here, there) = (world.clone(), world.clone());
    let hub = Hub::builder()
        .config(world.config.clone())
        .observer(Counted(census.clone()))
        .on("telemetry", move |telemetry: Telemetry, conn: Connection| {
            here.arrived(&conn, &telemetry.message, conn.id(), Direction::Up);
            async move {
                work(telemetry.message.number).await;
                Receipt { number: telemetry.message.number }
            }
        })
        .on("confirmation", move |confirmation: Confirmation, conn: Connection| {
            there.answered(&conn, confirmation.number);
            async {}
        })
        .build()?;
    let (link, there, last) = (world.link(), world.clone(), Mutex::new(BTreeMap::new()));
    let upgrade = hub.ws_handler(query_id, move |conn| {
        link(conn);
        let before = last.lock().expect("nothing panics under this lock").insert(conn.id().to_owned(), conn.clone());
        if before.is_some_and(|before: Connection| !before.is_closed()) {
            there.wrong(format!("{} has connected again, and its old connection is still open", conn.id()));
        }
    });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let accepting = segments::accept(upgrade, listener, world.segment);
    let mut talking = JoinSet::new();
    for id in world.peers.clone() {
        talking.spawn(command(world.clone(), hub.clone(), id, SmallRng::seed_from_u64(dice.random())));
    }
    talking.spawn(broadcast(world.clone(), hub.clone(), SmallRng::seed_from_u64(dice.random())));
    world.end(true).await;
    talking.join_all().await;
    // If the boxes shut down first, the hub is empty.
    for conn in hub.ids().into_iter().filter_map(|id| hub.connection(&id)) {
        world.last_messages(&conn, &mut dice, |message| conn.send(&Command { message })).await;
    }
    let cut_off = hub.shutdown(TIME_LIMIT).await;
    if cut_off > 0 || !hub.is_empty() {
        world.wrong(format!("the shutdown has cut off {cut_off} connections, and {} are still in the hub", hub.len()));
    }
    accepting.abort();
    drop((hub, stops));
    census.conclude().await;
    Ok(())
}

/// Sends commands to one box, and one more after the faults.
async fn command(world: Arc<World>, hub: Hub, id: String, mut dice: SmallRng) {
    while world.is_busy() {
        pause(&mut dice, 150).await;
        let (count, kind) = round(&mut dice);
        for _ in 0..count {
            let Some(conn) = hub.connection(&id) else { break };
            let (message, link) = world.message(&conn, &mut dice, kind);
            let number = message.number;
            world.send(hub.send_to(&id, &Command { message }), link, number, &mut dice).await;
            world.close_sometimes(&conn, &mut dice);
        }
    }
    world.reach(Phase::Proof).await;
    let Some(conn) = hub.connection(&id) else { return world.wrong(format!("{id} is not in the hub")) };
    let (message, link) = world.message(&conn, &mut dice, Kind::Proof);
    let number = message.number;
    match hub.send_to(&id, &Command { message }).await {
        Ok(_) => {
            world.decide(link, number, Fate::Accepted);
            world.books().proven.push((link, id != "raw"));
        }
        Err(error) => world.wrong(format!("a command to {id} after the faults: {error}")),
    }
}

/// Sends broadcasts during the faults. Later ones would be faults themselves: with a queue of one
/// message, a broadcast closes a connection whose reserve is full for 200 ms (row S3). That happens
/// on a healthy link too, if the sends fill the queue and the peer's handlers are slow.
async fn broadcast(world: Arc<World>, hub: Hub, mut dice: SmallRng) {
    while *world.phase.borrow() == Phase::Faults {
        pause(&mut dice, 1000).await;
        let number = world.number();
        // The set of connections does not change before the broadcast has offered the message to
        // all of them.
        let conns = hub.ids().into_iter().filter_map(|id| hub.connection(&id));
        let links: Vec<_> = conns.map(|conn| conn.extension::<Link>().expect("`register` has set it").0).collect();
        for link in &links {
            let mut books = world.books();
            let sent = books.sent.entry(*link).or_default();
            sent.push(Sent::after(sent, number, true));
        }
        let message = Numbered { link: None, number, proof: false, padding: String::new() };
        match hub.broadcast(&Command { message }).await {
            Ok(accepted) if accepted == links.len() => {
                links.iter().for_each(|link| world.decide(*link, number, Fate::Accepted));
            }
            Ok(accepted) if accepted > links.len() => {
                world.wrong(format!("{accepted} connections have accepted a broadcast, and there are {}", links.len()));
            }
            Ok(_) => {}
            Err(error) => world.wrong(format!("a broadcast failed: {error}")),
        }
    }
}

/// The program of a box.
async fn edge(world: Arc<World>, name: String, seed: u64) -> turmoil::Result {
    let census = world.start_program(&name);
    let stops = world.follow_stops(&name);
    let mut dice = SmallRng::seed_from_u64(seed);
    let (here, there, id, segment) = (world.clone(), world.clone(), name.clone(), world.segment);
    let client = Client::builder(format!("ws://{STATION}:{PORT}/ws?id={name}"))
        .config(world.config.clone())
        .backoff(Backoff::default().initial(Duration::from_millis(100)).max(Duration::from_secs(1)))
        .observer(Counted(census.clone()))
        .connector(move |destination| async move {
            let stream = TcpStream::connect((destination.host, destination.port)).await?;
            Ok(Segments::new(stream, segment))
        })
        .on("command", move |command: Command, conn: Connection| {
            here.arrived(&conn, &command.message, &id, Direction::Down);
            async move {
                work(command.message.number).await;
                Confirmation { number: command.message.number }
            }
        })
        .on("receipt", move |receipt: Receipt, conn: Connection| {
            there.answered(&conn, receipt.number);
            async {}
        })
        .build()
        .unwrap();
    let connected = client.connect(CancellationToken::new(), world.link());
    tokio::select! {
        connected = connected => { connected?; }
        () = world.end(false) => {
            world.wrong(format!("{name} was never connected"));
            return Ok(());
        }
    }
    let mut talking = JoinSet::new();
    for _ in 0..2 {
        let dice = SmallRng::seed_from_u64(dice.random());
        talking.spawn(report(world.clone(), client.clone(), dice));
    }
    world.reach(Phase::Proof).await;
    talking.join_all().await;
    prove(&world, &client, &name, &mut dice).await;
    world.end(false).await;
    if world.station_first {
        // The last connection may still handle what it has received. A close of this end would stop
        // that.
        sleep(world.config.close_timeout).await;
    }
    if let Some(conn) = client.connection().filter(|_| !world.station_first) {
        world.last_messages(&conn, &mut dice, |message| conn.send(&Telemetry { message })).await;
    }
    client.close();
    if timeout(TIME_LIMIT, client.closed()).await.is_err() {
        world.wrong(format!("{name} does not close; its state is {:?}", *client.state().borrow()));
    }
    drop((client, stops));
    census.conclude().await;
    Ok(())
}

/// Sends telemetry.
async fn report(world: Arc<World>, client: Client, mut dice: SmallRng) {
    while world.is_busy() {
        pause(&mut dice, 150).await;
        let (count, kind) = round(&mut dice);
        for _ in 0..count {
            let Some(conn) = client.connection() else { break };
            let (message, link) = world.message(&conn, &mut dice, kind);
            let number = message.number;
            world.send(client.send(&Telemetry { message }), link, number, &mut dice).await;
            world.close_sometimes(&conn, &mut dice);
        }
    }
}

/// After the faults: asserts that the client is connected, and sends a message.
async fn prove(world: &World, client: &Client, name: &str, dice: &mut SmallRng) {
    let state = *client.state().borrow();
    let (ClientState::Connected, Some(conn)) = (state, client.connection()) else {
        return world.wrong(format!("{name} is {state:?} after the faults"));
    };
    let (message, link) = world.message(&conn, dice, Kind::Proof);
    let number = message.number;
    match client.send(&Telemetry { message }).await {
        Ok(()) => {
            world.decide(link, number, Fate::Accepted);
            world.books().proven.push((link, true));
        }
        Err(error) => world.wrong(format!("telemetry of {name} after the faults: {error}")),
    }
}

/// The fault of the path from a client to the station.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    Cut,
    CutOneWay { up: bool },
    Held,
    Lossy,
    Slow,
}

/// Causes faults in the network and the programs, and repairs them.
struct Faults {
    dice: SmallRng,
    /// The fault of each client, and when it ends, in milliseconds since the start, like all times
    /// here.
    ways: Vec<(Fault, u64)>,
    /// When the station, then each client, starts again.
    crashed: Vec<Option<u64>>,
    /// When a stopped program goes on, and the length of its stop.
    stopped: Vec<Option<(u64, u64)>>,
    next: u64,
    counted: u64,
    stops: u64,
}

impl Faults {
    fn new(dice: SmallRng, peers: usize) -> Self {
        Self {
            dice,
            ways: vec![(Fault::Nothing, 0); peers],
            crashed: vec![None; peers + 1],
            stopped: vec![None; peers + 1],
            next: 0,
            counted: 0,
            stops: 0,
        }
    }

    fn program(world: &World, at: usize) -> &str {
        if at == 0 { STATION } else { &world.peers[at - 1] }
    }

    fn step(&mut self, sim: &mut Sim<'_>, world: &World, now: u64) {
        self.mend(sim, world, now);
        if now >= self.next {
            self.next = now + self.dice.random_range(50..1500);
            self.break_something(sim, world, now);
        }
    }

    fn break_something(&mut self, sim: &mut Sim<'_>, world: &World, now: u64) {
        let length = self.dice.random_range(50..4000);
        let until = now + length;
        if self.dice.random_bool(0.25) {
            let at = self.dice.random_range(0..self.crashed.len());
            if self.crashed[at].is_none() {
                sim.crash(Self::program(world, at));
                self.crashed[at] = Some(until);
                self.counted += 1;
            }
            return;
        }
        if self.dice.random_bool(0.2) {
            let at = self.dice.random_range(0..self.stopped.len());
            self.stop(sim, world, at, until, length);
            return;
        }
        let at = self.dice.random_range(0..world.peers.len());
        let name = &*world.peers[at];
        if self.ways[at].0 != Fault::Nothing {
            return;
        }
        let longest = Duration::from_millis(self.dice.random_range(2..=500));
        sim.set_link_max_message_latency(name, STATION, longest);
        let up = self.dice.random_bool(0.5);
        let fault = [Fault::Nothing, Fault::Cut, Fault::CutOneWay { up }, Fault::Held, Fault::Lossy, Fault::Slow]
            [self.dice.random_range(0..6)];
        match fault {
            Fault::Nothing => {}
            Fault::Cut => sim.partition(name, STATION),
            Fault::CutOneWay { up: true } => sim.partition_oneway(name, STATION),
            Fault::CutOneWay { up: false } => sim.partition_oneway(STATION, name),
            Fault::Held => sim.hold(name, STATION),
            Fault::Lossy => sim.set_link_fail_rate(name, STATION, self.dice.random_range(0.001..0.05)),
            Fault::Slow => {
                let latency = Duration::from_millis(self.dice.random_range(200..600));
                sim.set_link_latency(name, STATION, latency);
            }
        }
        self.ways[at] = (fault, until);
        self.counted += u64::from(fault != Fault::Nothing);
    }

    /// Stops a program: holds its links. Its clock jumps when they are released.
    fn stop(&mut self, sim: &mut Sim<'_>, world: &World, at: usize, until: u64, length: u64) {
        if self.stopped[at].is_some() || self.crashed[at].is_some() {
            return;
        }
        for (way, (fault, end)) in self.ways.iter_mut().enumerate() {
            if *fault == Fault::Nothing && (at == 0 || at == way + 1) {
                sim.hold(&*world.peers[way], STATION);
                (*fault, *end) = (Fault::Held, until);
            }
        }
        self.stopped[at] = Some((until, length));
        self.counted += 1;
        self.stops += 1;
    }

    fn mend(&mut self, sim: &mut Sim<'_>, world: &World, now: u64) {
        for (at, until) in self.crashed.iter_mut().enumerate() {
            if until.is_some_and(|until| until <= now) {
                sim.bounce(Self::program(world, at));
                *until = None;
            }
        }
        for ((fault, until), name) in self.ways.iter_mut().zip(&world.peers) {
            if *until > now {
                continue;
            }
            let name = &**name;
            match std::mem::replace(fault, Fault::Nothing) {
                Fault::Nothing => {}
                Fault::Cut | Fault::CutOneWay { .. } => sim.repair(name, STATION),
                Fault::Held => sim.release(name, STATION),
                Fault::Lossy => {
                    sim.set_link_fail_rate(name, STATION, 0.0);
                    sim.repair(name, STATION);
                }
                Fault::Slow => sim.set_link_latency(name, STATION, Duration::from_millis(1)),
            }
        }
        for (at, stopped) in self.stopped.iter_mut().enumerate() {
            if let Some((_, length)) = stopped.take_if(|(until, _)| *until <= now) {
                world.stops[Self::program(world, at)]
                    .send_modify(|stop| *stop = (stop.0 + 1, Duration::from_millis(length)));
            }
        }
    }

    fn mend_all(&mut self, sim: &mut Sim<'_>, world: &World) {
        self.mend(sim, world, u64::MAX);
        for name in &world.peers {
            sim.set_link_max_message_latency(&**name, STATION, Duration::from_millis(100));
        }
    }
}

/// What the seeds have covered, so that a run that tests nothing is visible.
#[derive(Default)]
struct Figures {
    faults: u64,
    stops: u64,
    connections: u64,
    completed: u64,
    accepted: u64,
    lost: u64,
    fragmented: u64,
    long: u64,
    unanswered: u64,
}

/// Makes the network of a seed, without hosts.
pub(crate) fn network(dice: &mut SmallRng) -> Sim<'static> {
    turmoil::Builder::new()
        .rng_seed(dice.random())
        .tick_duration(Duration::from_millis(dice.random_range(2..=10)))
        .simulation_duration(Duration::from_secs(3600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(60))
        .tcp_capacity(dice.random_range(8..64))
        .enable_random_order()
        .build()
}

/// Runs the simulation until `done`, or for this long. Returns whether it is done.
pub(crate) fn run(
    sim: &mut Sim<'_>,
    most: Duration,
    done: &mut dyn FnMut(&mut Sim<'_>) -> bool,
) -> Result<bool, String> {
    let end = sim.elapsed() + most;
    while !done(sim) {
        if sim.elapsed() >= end {
            return Ok(false);
        }
        sim.step().map_err(|error| format!("a program failed: {error}"))?;
    }
    Ok(true)
}

/// Runs one seed.
fn simulate(seed: u64) -> Result<Figures, String> {
    let mut dice = SmallRng::seed_from_u64(seed);
    let world = World::new(&mut dice);
    let tick = Duration::from_millis(dice.random_range(2..=10));
    let mut sim = turmoil::Builder::new()
        .rng_seed(dice.random())
        .tick_duration(tick)
        .simulation_duration(Duration::from_secs(3600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(100))
        .tcp_capacity(world.window)
        .enable_random_order()
        .build();
    let (here, own) = (world.clone(), dice.random());
    sim.host(STATION, move || station(here.clone(), own));
    let (raw, boxes) = world.peers.split_last().expect("there is a raw peer");
    for name in boxes {
        let (here, name, own) = (world.clone(), name.clone(), dice.random());
        sim.host(name.clone(), move || edge(here.clone(), name.clone(), own));
    }
    let (here, name, own) = (world.clone(), raw.clone(), dice.random());
    sim.host(raw.clone(), move || raw_peer(here.clone(), name.clone(), own));
    let length = dice.random_range(5..15);
    let mut faults = Faults::new(dice, world.peers.len());
    for (phase, length) in [(Phase::Faults, Duration::from_secs(length)), (Phase::Silence, SILENCE)] {
        world.phase.send_replace(phase);
        run(&mut sim, length, &mut |sim| {
            let now = u64::try_from(sim.elapsed().as_millis()).expect("at most an hour");
            faults.step(sim, &world, now);
            false
        })?;
    }
    faults.mend_all(&mut sim, &world);
    world.phase.send_replace(Phase::Calm);
    run(&mut sim, CALM, &mut |_| false)?;
    world.phase.send_replace(Phase::Proof);
    if !run(&mut sim, SETTLED, &mut |_| world.settled().is_ok())? {
        let missing = world.settled().expect_err("it is not settled");
        return Err(format!("after the faults, {missing}; {:?}", world.books().wrong));
    }
    for turn in 0..2 {
        world.phase.send_replace(Phase::End(turn));
        let shutting_down: Vec<&str> = if world.station_first == (turn == 0) {
            vec![STATION]
        } else {
            world.peers.iter().map(|name| &**name).collect()
        };
        if !run(&mut sim, 4 * TIME_LIMIT, &mut |sim| shutting_down.iter().all(|name| !sim.is_host_running(*name)))? {
            return Err(format!("{shutting_down:?} do not shut down; {:?}", world.books().wrong));
        }
    }
    drop(sim);
    let mut figures = judge(&world)?;
    (figures.faults, figures.stops) = (faults.counted, faults.stops);
    Ok(figures)
}

/// Checks the records.
fn judge(world: &World) -> Result<Figures, String> {
    let mut books = world.books();
    let Books { sent, arrived, receipts, completed, programs, fragmented, long, unanswered, wrong, .. } = &mut *books;
    for (name, program) in programs {
        if program.strong_count() > 0 {
            wrong.push(format!("a program on {name} has leaked its observer"));
        }
    }
    let mut figures = Figures {
        fragmented: *fragmented,
        long: *long,
        unanswered: *unanswered,
        connections: sent.len().max(arrived.len()) as u64,
        ..Figures::default()
    };
    let none = Vec::new();
    // By the sender's end: the messages that arrived from it.
    let mut pairs = BTreeMap::new();
    for (receiver, messages) in &*arrived {
        let senders: BTreeSet<u64> = messages.iter().filter_map(|(link, _)| *link).collect();
        let numbers: Vec<u64> = messages.iter().map(|(_, number)| *number).collect();
        match senders.iter().collect::<Vec<_>>()[..] {
            [] => {}
            [sender] => {
                let offered = sent.get(sender).unwrap_or(&none);
                if let Err(why) = compare(offered, &numbers) {
                    wrong.push(format!("from {sender} to {receiver}: {why}"));
                }
                if pairs.insert(*sender, numbers).is_some() {
                    wrong.push(format!("messages of {sender} arrived on two connections"));
                }
            }
            _ => wrong.push(format!("{receiver} has received from {senders:?} on one connection")),
        }
    }
    for (link, numbers) in &*receipts {
        // A connection that received broadcasts alone does not know its sender.
        let broadcasts = || compare(sent.get(link).unwrap_or(&none), numbers).is_ok();
        if !pairs.get(link).map_or_else(broadcasts, |handled| handled.starts_with(numbers)) {
            wrong.push(format!("the receipts on {link} do not match the first messages that it sent: {numbers:?}"));
        }
    }
    for (link, messages) in &*sent {
        let accepted = messages.iter().filter(|sent| sent.fate == Fate::Accepted).count();
        let here = pairs.get(link).map_or(0, Vec::len);
        if let Some(id) = completed.get(link) {
            let arrived: BTreeSet<u64> = pairs.get(link).into_iter().flatten().copied().collect();
            let missing = messages.iter().filter(|sent| sent.fate == Fate::Accepted && !arrived.contains(&sent.number));
            let missing = missing.count();
            if missing > 0 {
                wrong.push(format!(
                    "{missing} accepted messages on {link} ({id}) have not arrived, although the network worked at its close"
                ));
            }
        }
        figures.completed += u64::from(completed.contains_key(link));
        figures.accepted += accepted as u64;
        figures.lost += accepted.saturating_sub(here) as u64;
    }
    if wrong.is_empty() { Ok(figures) } else { Err(wrong.join("; ")) }
}

/// Asserts that the messages that arrived are the first of those that were accepted, in order, each
/// once. A send with unknown outcome may have sent its message or not.
fn compare(offered: &[Sent], arrived: &[u64]) -> Result<(), String> {
    let places: BTreeMap<u64, usize> = arrived.iter().enumerate().map(|(place, number)| (*number, place)).collect();
    let known: BTreeSet<u64> = offered.iter().map(|sent| sent.number).collect();
    if let Some(number) = arrived.iter().find(|number| !known.contains(number)) {
        return Err(format!("{number} has arrived, and was never sent"));
    }
    if places.len() < arrived.len() {
        return Err(format!("some messages have arrived twice: {arrived:?}"));
    }
    // When a message has to arrive at the earliest: after all before it, and never if one is lost.
    let place_of = |sent: &Sent| match (places.get(&sent.number), sent.fate) {
        (Some(place), _) => *place,
        (None, Fate::Accepted) => usize::MAX,
        (None, _) => 0,
    };
    let mut latest = 0;
    for (at, sent) in offered.iter().enumerate() {
        let place = place_of(sent);
        if place != usize::MAX && places.contains_key(&sent.number) {
            if sent.fate == Fate::Failed {
                return Err(format!("{} has arrived, although its send returned an error", sent.number));
            }
            if place < latest {
                let overtaken = |before: &Sent| sent.overtakes.contains(&before.number);
                if let Some(before) = offered[..at].iter().find(|before| place_of(before) > place && !overtaken(before))
                {
                    return Err(format!(
                        "{} has arrived before {}, which was sent earlier",
                        sent.number, before.number
                    ));
                }
            }
        }
        latest = latest.max(place);
    }
    Ok(())
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.faults += other.faults;
        self.stops += other.stops;
        self.fragmented += other.fragmented;
        self.long += other.long;
        self.unanswered += other.unanswered;
        self.connections += other.connections;
        self.completed += other.completed;
        self.accepted += other.accepted;
        self.lost += other.lost;
    }
}

/// Reads `WSX_SEEDS`.
fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("WSX_SEEDS") else { return usual };
    let number =
        |text: &str| text.parse().unwrap_or_else(|_| panic!("WSX_SEEDS must be a seed, or a range like 0..1000"));
    match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&text)..number(&text) + 1,
    }
}

/// Runs each seed, as many at a time as there are processors. Returns their number, the sum of
/// their figures, and why seeds failed.
pub(crate) fn each_seed<F: Default + AddAssign + Send>(
    usual: Range<u64>,
    simulate: impl Fn(u64) -> Result<F, String> + Sync,
) -> (u64, F, Vec<String>) {
    let seeds = seeds(usual);
    let next = AtomicU64::new(seeds.start);
    let results = Mutex::new((F::default(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        break;
                    }
                    let result = catch_unwind(AssertUnwindSafe(|| simulate(seed)));
                    let mut results = results.lock().expect("nothing panics under this lock");
                    match result.unwrap_or_else(|_| Err("a panic, see above".to_owned())) {
                        Ok(figures) => results.0 += figures,
                        Err(why) => results.1.push(format!("seed {seed}: {why}")),
                    }
                }
            });
        }
    });
    let (figures, wrong) = results.into_inner().expect("nothing panics under this lock");
    (seeds.end - seeds.start, figures, wrong)
}

#[test]
fn on_any_network_messages_stay_in_order_arrive_once_and_clients_reconnect() {
    let (count, figures, wrong) = each_seed(0..50, simulate);
    let Figures { faults, stops, connections, completed, accepted, lost, fragmented, long, unanswered } = figures;
    let failed = wrong.len();
    println!(
        "{count} seeds, {failed} failed: {faults} faults, {stops} of them stops, {connections} connections, {completed} \
         of them closed in a network that worked, {unanswered} ended by the heartbeat, {accepted} messages accepted, \
         {lost} of them lost with their connections, {long} handled that are longer than a write, {fragmented} sent \
         in fragments"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
