//! A station and its boxes, which keep messages for each other on simulated disks, in a network
//! with its faults: partitions, stalls, lost segments, and programs that crash, end, and start
//! again. Disks are slow, full, uncertain, and lose their content. Clocks jump by a day. Handlers
//! are slow, fail, and run at the same time. Outboxes are small.
//!
//! The simulation asserts:
//!
//! - A send returns `Ok` only when its message is durable, and a message is not handled before. One
//!   that was rejected is not handled, unless the disk did not know.
//! - Each durable message is handled, or its sender has lost its disk, or it is part of a gap that
//!   the observers at both ends have received. A newer value of its key or state may have replaced
//!   it.
//! - No message is handled twice, except after the end of its handler's program without the number
//!   on its disk. None is handled by two handlers at the same time.
//! - When a message of `at_least_once` is handled, all earlier ones are handled, in handlers that
//!   run at the same time, or part of a gap that was reported.
//! - A value of `latest` is never handled after a newer one. The last one of each key and the last
//!   state arrive, and the hub knows the last states of both ends.
//! - A delivery ends with the outcome that its message had.
//! - A gap has a message that the receiver does not remember as handled, as far as its epoch is
//!   known.
//! - After the faults everything arrives. Then nothing waits, and the sizes that the bounds count
//!   are those of the kept messages.
//! - After the shutdown there is no task and no observer.
use crate::{
    PORT, STATION, Segments, TIME_LIMIT,
    disk::{Disk, Lane, Trouble},
    each_seed, network, pause, run, segments,
    simulated_requests::{break_link, conclude},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    ops::{AddAssign, RangeInclusive},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use turmoil::{
    Sim,
    net::{TcpListener, TcpStream},
};
use wsx::{
    __private::fuzz,
    Backoff, CancellationToken, Client, Config, Connection, Delivered, Hub, Observer, SendError,
    delivery::{Change, Delivering, DeliveryError, Gap, Mailbox, Outbox, Store, Why},
};
use wsx_tests::query_id;

/// How long the network works before the proof.
const CALM: Duration = Duration::from_secs(10);
/// How long after that everything must be settled. An acknowledgement, a heartbeat and a reconnect
/// take a few seconds, and a full outbox some more.
const SETTLED: Duration = Duration::from_secs(60);
/// Time limit of the real clock, in addition: the threads of the stores need it, and try again only
/// after a second.
const REAL_TIME: Duration = Duration::from_secs(20);
/// The number of keys of `latest`.
const KEYS: u64 = 3;
const DAY: i64 = 24 * 60 * 60;

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Phase {
    Faults,
    Calm,
    Proof,
    End,
}

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Reading {
    id: u64,
    padding: String,
}

/// It expires, and its handlers run at the same time.
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "2s")]
struct Brief {
    id: u64,
    padding: String,
}

/// The oldest one makes room.
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, full = drop_oldest, ttl = "1h")]
struct Sample {
    id: u64,
    padding: String,
}

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest, key = key)]
struct Level {
    id: u64,
    key: u64,
    padding: String,
}

/// The state that the station sets.
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Desired {
    id: u64,
}

/// The state that a box sets.
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Shown {
    id: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reading,
    Brief,
    Sample,
    Level(u64),
    State,
}

impl Kind {
    fn lane(self) -> Lane {
        match self {
            Self::Reading | Self::Brief | Self::Sample => Lane::Seq,
            Self::Level(_) | Self::State => Lane::Latest,
        }
    }
}

/// What a sender knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The send was dropped, or its program has ended.
    Unknown,
    Accepted,
    Rejected,
}

/// A message, and what has happened to it.
struct Sent {
    from: String,
    to: String,
    kind: Kind,
    fate: Fate,
    /// How often its handler has begun, and ended.
    begun: u32,
    succeeded: u32,
    failed: u32,
    /// The program that handled it last.
    program: u64,
}

/// The numbers of a [`Gap`], which a test can make.
#[derive(Clone, Copy, Debug)]
struct Missing {
    from: u64,
    to: u64,
    why: Why,
    is_ours: bool,
}

/// A gap that an observer has received.
struct Reported {
    at: String,
    peer: String,
    gap: Missing,
    /// The epoch of the program at `at`.
    epoch: String,
}

impl Reported {
    /// Whether this is the report of its sender for a gap that the receiver reports.
    fn is_of_sender(&self, sender: &str, receiver: &str, gap: Missing) -> bool {
        let own = &self.gap;
        (&*self.at, &*self.peer) == (sender, receiver)
            && own.is_ours
            && (own.from..=own.to).contains(&gap.from)
            && gap.to <= own.to
            && own.why == gap.why
    }
}

/// A run of a program.
struct Run {
    number: u64,
    disk: Disk,
    /// What has been handled in this run, and what runs: by the sender and its epoch.
    handled: BTreeSet<(String, String, Lane, u64)>,
    running: BTreeSet<(String, String, Lane, u64)>,
}

#[derive(Default)]
struct Books {
    messages: BTreeMap<u64, Sent>,
    gaps: Vec<Reported>,
    /// The expired messages that observers have received, by the sender.
    expired: BTreeMap<String, u64>,
    resumed: u64,
    failures: u64,
    /// The present run of each program.
    runs: BTreeMap<String, Run>,
    programs: u64,
    observers: Vec<(String, Weak<()>)>,
    /// Up to which number the order of a receiver, its sender and epoch was checked.
    checked: BTreeMap<(String, String, String), u64>,
    /// The numbers in gaps, by the receiver that reported them, and the sender.
    missed: BTreeMap<(String, String), Vec<RangeInclusive<u64>>>,
    /// Handled numbers, of the same as `checked`.
    completed: BTreeMap<(String, String, String), BTreeSet<u64>>,
    /// The last number of each key, of the same, and its id.
    newest: BTreeMap<(String, String, String, String), u64>,
    /// The last message of each key that a receiver has handled.
    last: BTreeMap<(String, String, String), u64>,
    /// By the ends: the id of the last message when the program has dropped what waited.
    dropped: BTreeMap<(String, String), u64>,
    /// By the end, what waits, in the proof.
    waiting: BTreeMap<(String, String), usize>,
    /// By the box: the last states that the hub knows: the reported one, and the desired one.
    states: BTreeMap<String, [Option<u64>; 2]>,
    /// How many senders have sent what must arrive after the faults.
    proven: usize,
    /// By the ends: for what a sender waits then.
    steps: BTreeMap<(String, String), String>,
    crashes: u64,
    wipes: u64,
    outcomes: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
}

struct World {
    boxes: Vec<String>,
    config: Config,
    segment: usize,
    /// Maximum numbers of messages and bytes for a peer.
    bounds: [usize; 2],
    disks: BTreeMap<String, Disk>,
    phase: watch::Sender<Phase>,
    /// By program: changes when it has to end and start again.
    restarts: BTreeMap<String, watch::Sender<()>>,
    books: Mutex<Books>,
}

impl World {
    fn new(dice: &mut SmallRng) -> Arc<Self> {
        let config = Config::default()
            .write_timeout(Duration::from_secs(2))
            .close_timeout(Duration::from_secs(2))
            .handshake_timeout(Duration::from_secs(3))
            .heartbeat(Duration::from_secs(1), Duration::from_millis(1500))
            .queue_messages(dice.random_range(1..64))
            .queue_bytes([2, 8, 32][dice.random_range(0..3)] * 1024)
            .backlog_messages(dice.random_range(1..64))
            .backlog_bytes([2, 8, 32][dice.random_range(0..3)] * 1024);
        let boxes: Vec<_> = (0..dice.random_range(1..=4)).map(|n| format!("box-{n}")).collect();
        let programs = || boxes.iter().cloned().chain([STATION.to_owned()]);
        Arc::new(Self {
            disks: programs().map(|name| (name, Disk::new())).collect(),
            restarts: programs().map(|name| (name, watch::Sender::new(()))).collect(),
            boxes,
            config,
            segment: [536, 1460, 9000][dice.random_range(0..3)],
            bounds: [[10, 50, 1000][dice.random_range(0..3)], [8, 64, 1024][dice.random_range(0..3)] * 1024],
            phase: watch::Sender::new(Phase::Faults),
            books: Mutex::default(),
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong(&self, what: String) {
        self.books().wrong.push(what);
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    async fn reach(&self, least: Phase) {
        // The sender is a field of this world, so waiting cannot fail.
        let _ = self.phase.subscribe().wait_for(|phase| *phase >= least).await;
    }

    fn start_program(self: &Arc<Self>, name: &str) -> Watching {
        let watching = Watching { world: self.clone(), name: name.to_owned(), lives: Arc::new(()) };
        let mut books = self.books();
        books.observers.push((name.to_owned(), Arc::downgrade(&watching.lives)));
        books.programs += 1;
        let (number, disk) = (books.programs, self.disks[name].clone());
        let run = Run { number, disk, handled: BTreeSet::new(), running: BTreeSet::new() };
        books.runs.insert(name.to_owned(), run);
        watching
    }

    fn begin(&self, from: &str, to: &str, kind: Kind) -> u64 {
        let mut books = self.books();
        let id = books.messages.len() as u64 + 1;
        let (from, to) = (from.to_owned(), to.to_owned());
        let sent = Sent { from, to, kind, fate: Fate::Unknown, begun: 0, succeeded: 0, failed: 0, program: 0 };
        books.messages.insert(id, sent);
        id
    }

    /// Notes the result of a send.
    fn decide(&self, id: u64, result: Result<(), &SendError>) {
        let mut books = self.books();
        let sent = books.messages.get_mut(&id).expect("it was recorded");
        let is_durable = self.disks[&sent.from].is_durable(id);
        let mut wrong = None;
        match result {
            Ok(()) => {
                sent.fate = Fate::Accepted;
                if !is_durable {
                    wrong = Some(format!("{id} was accepted, and is not durable"));
                }
            }
            Err(SendError::OutboxFull | SendError::Store(_)) => {
                sent.fate = Fate::Rejected;
                if is_durable {
                    wrong = Some(format!("{id} was rejected, and is durable"));
                }
            }
            // At the end of the client.
            Err(SendError::Closed) => {}
            Err(error) => wrong = Some(format!("a send failed: {error}")),
        }
        books.wrong.extend(wrong);
    }

    /// Notes a gap that the observer at `at` has received.
    fn reported(&self, at: &str, peer: &str, gap: Missing) {
        let mut books = self.books();
        if !gap.is_ours {
            if self.is_all_handled(&books, at, peer, gap) {
                books.wrong.push(format!("{at} has reported {gap:?} of {peer}, and has handled all of it"));
            }
            books.missed.entry((at.to_owned(), peer.to_owned())).or_default().push(gap.from..=gap.to);
        }
        let (at, peer) = (at.to_owned(), peer.to_owned());
        let epoch = self.disks[&at].present_epoch();
        books.gaps.push(Reported { at, peer, gap, epoch });
    }

    /// Whether the receiver at `at` remembers each message of this gap as handled.
    ///
    /// A gap does not name its epoch. A sender that has lost its disk has a new epoch, and may give
    /// the same numbers away again: they begin with the age of the store. Its first messages may
    /// also leave before they are durable, to make room, or because they expire or are dropped. So
    /// the disk does not know them, and it knows other messages with their numbers, which the
    /// receiver has handled. The receiver is right to report them, because it distinguishes the
    /// epochs. Of which epoch a gap may be, the sender's own report says, which comes first. A gap
    /// that only the receiver has found is of an earlier epoch.
    fn is_all_handled(&self, books: &Books, at: &str, peer: &str, gap: Missing) -> bool {
        let sender = &self.disks[peer];
        let to = if at == STATION { "" } else { at };
        let of_peer = if peer == STATION { "" } else { peer };
        let run = &books.runs[at];
        let is_handled = |epoch: &String| {
            let durable = run.disk.handled(of_peer, epoch)[0];
            sender.known(epoch, to, Lane::Seq, gap.from..=gap.to, |numbers| {
                let is_old = |number| {
                    number <= durable || run.handled.contains(&(peer.to_owned(), epoch.clone(), Lane::Seq, number))
                };
                let mut numbers = numbers.peekable();
                numbers.peek().is_some() && numbers.all(|(number, _)| is_old(number))
            })
        };
        let of_sender = books.gaps.iter().filter(|reported| reported.is_of_sender(peer, at, gap));
        let mut epochs: BTreeSet<String> = of_sender.map(|reported| reported.epoch.clone()).collect();
        if epochs.is_empty() && gap.why == Why::Unknown {
            epochs = sender.epochs();
            if epochs.len() > 1 {
                epochs.remove(&sender.present_epoch());
            }
        }
        !epochs.is_empty() && epochs.iter().all(is_handled)
    }

    /// Notes the outcome of a delivery.
    fn concluded(&self, id: u64, result: &Result<(), DeliveryError>) {
        let mut books = self.books();
        let Books { messages, dropped, outcomes, wrong, .. } = &mut *books;
        let sent = messages.get_mut(&id).expect("it was recorded");
        let may_be_dropped =
            || sent.kind == Kind::Sample || dropped.contains_key(&(sent.from.clone(), sent.to.clone()));
        let (name, is_right) = match result {
            Ok(()) => ("handled", sent.succeeded > 0),
            Err(DeliveryError::Failed { .. }) => ("failed", sent.failed > 0),
            Err(DeliveryError::Expired) => ("expired", sent.kind == Kind::Brief),
            Err(DeliveryError::Superseded) => ("superseded", sent.kind.lane() == Lane::Latest),
            Err(DeliveryError::Dropped) => ("dropped", may_be_dropped()),
            Err(DeliveryError::NotAccepted(_)) => ("not accepted", true),
            Err(_) => ("ended", true),
        };
        if !is_right {
            wrong.push(format!(
                "the outcome of {id} is {result:?}, and {} handlers of it have succeeded and {} failed; {:?}",
                sent.succeeded, sent.failed, sent.kind
            ));
        }
        *outcomes.entry(name).or_default() += 1;
    }
}

/// The observer of a run of a program.
struct Watching {
    world: Arc<World>,
    name: String,
    /// Counted at the end.
    lives: Arc<()>,
}

impl Watching {
    fn peer(&self, conn: &Connection) -> String {
        if self.name == STATION { conn.id().to_owned() } else { STATION.to_owned() }
    }
}

impl Observer for Watching {
    fn delivery_gap(&self, conn: &Connection, gap: &Gap) {
        let Gap { from, to, why, is_ours, .. } = *gap;
        self.world.reported(&self.name, &self.peer(conn), Missing { from, to, why, is_ours });
    }
    fn delivery_expired(&self, _: &str, message_type: &str) {
        if message_type != "brief" && message_type != "sample" {
            self.world.wrong(format!("a message of {message_type} has expired"));
        }
        *self.world.books().expired.entry(self.name.clone()).or_default() += 1;
    }
    fn delivery_resumed(&self, _: &Connection, _: &wsx::delivery::Resumed) {
        self.world.books().resumed += 1;
    }
    fn delivery_failed(&self, _: &Connection, _: &str, _: &str, _: &str) {
        self.world.books().failures += 1;
    }
    fn message_ignored(&self, _: &Connection, message_type: &str) {
        self.world.wrong(format!("{}: no handler for {message_type:?}", self.name));
    }
}

/// A handler that runs.
struct Handling<'n> {
    node: &'n Node,
    place: (String, String, Lane, u64),
    id: u64,
    slot: Option<String>,
}

impl Handling<'_> {
    /// Notes the end of the handler.
    fn end(&self, succeeds: bool) {
        let mut books = self.node.world.books();
        let Books { messages, runs, completed, last, .. } = &mut *books;
        let sent = messages.get_mut(&self.id).expect("it was sent");
        if succeeds {
            sent.succeeded += 1;
        } else {
            sent.failed += 1;
        }
        let run = runs.get_mut(&self.node.name).expect("this program runs");
        sent.program = run.number;
        run.handled.insert(self.place.clone());
        let (peer, epoch, lane, number) = self.place.clone();
        if lane == Lane::Seq {
            completed.entry((self.node.name.clone(), peer, epoch)).or_default().insert(number);
        } else if let Some(slot) = &self.slot {
            last.insert((self.node.name.clone(), peer, slot.clone()), self.id);
        }
    }
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        let mut books = self.node.world.books();
        if let Some(run) = books.runs.get_mut(&self.node.name).filter(|run| run.number == self.node.run) {
            run.running.remove(&self.place);
        }
    }
}

/// A program: the endpoint of its handlers.
#[derive(wsx::Endpoint)]
struct Node {
    world: Arc<World>,
    name: String,
    /// The number of this run.
    run: u64,
    dice: Mutex<SmallRng>,
}

impl Node {
    fn new(world: &Arc<World>, name: &str, seed: u64) -> Self {
        let run = world.books().runs[name].number;
        Self { world: world.clone(), name: name.to_owned(), run, dice: Mutex::new(SmallRng::seed_from_u64(seed)) }
    }

    fn roll<T>(&self, roll: impl FnOnce(&mut SmallRng) -> T) -> T {
        roll(&mut self.dice.lock().expect("nothing panics under this lock"))
    }

    fn padding(&self) -> String {
        let longest = [1, 1, 100, 1000, 3000][self.roll(|dice| dice.random_range(0..5))];
        "x".repeat(self.roll(|dice| dice.random_range(0..longest)))
    }

    /// Checks a message that begins to be handled.
    fn begin(&self, conn: &Connection, id: u64, delivered: &Delivered) -> Handling<'_> {
        let peer = if self.name == STATION { conn.id().to_owned() } else { STATION.to_owned() };
        let (epoch, number) = (delivered.epoch.to_string(), delivered.number);
        let sender = &self.world.disks[&peer];
        let mut books = self.world.books();
        let Books { messages, runs, completed, missed, checked, newest, wrong, .. } = &mut *books;
        let sent = messages.get_mut(&id).expect("it was sent");
        sent.begun += 1;
        let (kind, lane) = (sent.kind, sent.kind.lane());
        let mut say =
            |what: String| wrong.push(format!("{} got {id} ({kind:?}, {epoch}/{number}) of {peer} {what}", self.name));
        if (&sent.from, &sent.to) != (&peer, &self.name) {
            say(format!("which is from {} for {}", sent.from, sent.to));
        }
        if !sender.is_durable(id) && !sender.is_uncertain(id) {
            say("before it was durable".to_owned());
        }
        if sent.fate == Fate::Rejected && !sender.is_uncertain(id) {
            say("although it was rejected".to_owned());
        }
        let run = runs.get_mut(&self.name).expect("this program runs");
        let place = (peer.clone(), epoch.clone(), lane, number);
        if run.handled.contains(&place) {
            say("a second time".to_owned());
        }
        let durable = run.disk.handled(if peer == STATION { "" } else { &peer }, &epoch)[lane as usize];
        if number <= durable {
            say(format!("a second time, and its disk had {durable}"));
        }
        if run.number != self.run {
            say("after its program has ended".to_owned());
        } else if !run.running.insert(place.clone()) {
            say("while it handles it".to_owned());
        }
        let key = (self.name.clone(), peer.clone(), epoch.clone());
        let slot = match kind {
            Kind::Level(key) => Some(format!("level {key}")),
            Kind::State => Some("state".to_owned()),
            _ => None,
        };
        if let Some(slot) = &slot {
            let newest = newest.entry((key.0, key.1, key.2, slot.clone())).or_default();
            if number < *newest {
                say(format!("after {newest}, which is newer"));
            }
            *newest = number.max(*newest);
        } else {
            let completed = completed.entry(key.clone()).or_default();
            let missed = missed.get(&(self.name.clone(), peer.clone()));
            let checked = checked.entry(key).or_default();
            let to = if self.name == STATION { "" } else { &*self.name };
            let is_missing = |number: u64| {
                !completed.contains(&number)
                    && !missed.into_iter().flatten().any(|gap| gap.contains(&number))
                    && !run.running.contains(&(peer.clone(), epoch.clone(), Lane::Seq, number))
            };
            let missing = sender.known(&epoch, to, lane, *checked + 1..=number - 1, |numbers| {
                numbers
                    .filter(|(number, _)| is_missing(*number))
                    .map(|(number, id)| format!("{id} ({number})"))
                    .collect::<Vec<_>>()
            });
            if !missing.is_empty() {
                say(format!("before {}", missing.join(", ")));
            }
            // What runs may have to come again.
            let running =
                run.running.iter().filter(|(from, own, lane, _)| (from, own, *lane) == (&peer, &epoch, Lane::Seq));
            let first = running.map(|(.., number)| *number).min().unwrap_or(number);
            *checked = (*checked).max(first.min(number) - 1);
        }
        Handling { node: self, place, id, slot }
    }

    /// The handler of a message. A state never fails.
    async fn handle(&self, conn: &Connection, id: u64, delivered: &Delivered, may_fail: bool) -> Result<(), String> {
        let handling = self.begin(conn, id, delivered);
        let is_calm = self.world.phase() >= Phase::Proof;
        let longest = self.roll(|dice| match dice.random_range(0..100) {
            _ if is_calm => 0,
            0 => 1500,
            1..12 => 400,
            12..35 => 30,
            _ => 0,
        });
        if longest > 0 {
            sleep(Duration::from_millis(longest)).await;
        }
        let fails = may_fail && self.roll(|dice| dice.random_bool(0.05));
        handling.end(!fails);
        if fails { Err("as the dice want it".to_owned()) } else { Ok(()) }
    }
}

#[wsx::handler(on = Node)]
async fn on_reading(node: &Node, reading: Reading, delivered: Delivered, conn: &Connection) -> Result<(), String> {
    node.handle(conn, reading.id, &delivered, true).await
}

#[wsx::handler(on = Node, concurrent = 3)]
async fn on_brief(node: &Node, brief: Brief, delivered: Delivered, conn: &Connection) -> Result<(), String> {
    node.handle(conn, brief.id, &delivered, true).await
}

#[wsx::handler(on = Node)]
async fn on_sample(node: &Node, sample: Sample, delivered: Delivered, conn: &Connection) -> Result<(), String> {
    node.handle(conn, sample.id, &delivered, true).await
}

#[wsx::handler(on = Node)]
async fn on_level(node: &Node, level: Level, delivered: Delivered, conn: &Connection) -> Result<(), String> {
    node.handle(conn, level.id, &delivered, true).await
}

#[wsx::handler(on = Node)]
async fn on_desired(node: &Node, desired: Desired, delivered: Delivered, conn: &Connection) -> Result<(), String> {
    node.handle(conn, desired.id, &delivered, false).await
}

#[wsx::handler(on = Node)]
async fn on_shown(node: &Node, shown: Shown, delivered: Delivered, conn: &Connection) -> Result<(), String> {
    node.handle(conn, shown.id, &delivered, false).await
}

/// The sender of kept messages, and their receiver.
#[derive(Clone)]
enum Way {
    ToBox(Hub<Node>, String),
    ToStation(Client<Node>),
}

impl Way {
    fn node(&self) -> &Node {
        match self {
            Self::ToBox(hub, _) => hub.endpoint(),
            Self::ToStation(client) => client.endpoint(),
        }
    }

    fn to(&self) -> &str {
        match self {
            Self::ToBox(_, id) => id,
            Self::ToStation(_) => STATION,
        }
    }

    fn connection(&self) -> Option<Connection> {
        match self {
            Self::ToBox(hub, id) => hub.connection(id),
            Self::ToStation(client) => client.connection(),
        }
    }

    fn waiting(&self) -> usize {
        match self {
            Self::ToBox(hub, id) => hub.waiting(id).len(),
            Self::ToStation(client) => client.waiting(),
        }
    }

    /// Begins to send a message of this kind.
    fn deliver(&self, kind: Kind) -> (u64, Delivering) {
        let node = self.node();
        let id = node.world.begin(&node.name, self.to(), kind);
        let padding = node.padding();
        let delivering = match (self, kind) {
            (Self::ToBox(hub, to), Kind::Reading) => hub.deliver(to, &Reading { id, padding }),
            (Self::ToBox(hub, to), Kind::Brief) => hub.deliver(to, &Brief { id, padding }),
            (Self::ToBox(hub, to), Kind::Sample) => hub.deliver(to, &Sample { id, padding }),
            (Self::ToBox(hub, to), Kind::Level(key)) => hub.deliver(to, &Level { id, key, padding }),
            (Self::ToBox(hub, to), Kind::State) => hub.deliver(to, &Desired { id }),
            (Self::ToStation(client), Kind::Reading) => client.deliver(&Reading { id, padding }),
            (Self::ToStation(client), Kind::Brief) => client.deliver(&Brief { id, padding }),
            (Self::ToStation(client), Kind::Sample) => client.deliver(&Sample { id, padding }),
            (Self::ToStation(client), Kind::Level(key)) => client.deliver(&Level { id, key, padding }),
            (Self::ToStation(client), Kind::State) => client.deliver(&Shown { id }),
        };
        (id, delivering)
    }

    /// Sends a message of this kind, and waits until it is accepted.
    async fn send(&self, kind: Kind) -> u64 {
        let node = self.node();
        let id = node.world.begin(&node.name, self.to(), kind);
        let padding = node.padding();
        let result = match (self, kind) {
            (Self::ToBox(hub, to), Kind::Reading) => hub.send_to(to, &Reading { id, padding }).await.map(drop),
            (Self::ToBox(hub, to), Kind::Brief) => hub.send_to(to, &Brief { id, padding }).await.map(drop),
            (Self::ToBox(hub, to), Kind::Sample) => hub.send_to(to, &Sample { id, padding }).await.map(drop),
            (Self::ToBox(hub, to), Kind::Level(key)) => hub.send_to(to, &Level { id, key, padding }).await.map(drop),
            (Self::ToBox(hub, to), Kind::State) => hub.set(to, &Desired { id }).await.map(drop),
            (Self::ToStation(client), Kind::Reading) => client.send(&Reading { id, padding }).await,
            (Self::ToStation(client), Kind::Brief) => client.send(&Brief { id, padding }).await,
            (Self::ToStation(client), Kind::Sample) => client.send(&Sample { id, padding }).await,
            (Self::ToStation(client), Kind::Level(key)) => client.send(&Level { id, key, padding }).await,
            (Self::ToStation(client), Kind::State) => client.set(&Shown { id }).await,
        };
        node.world.decide(id, result.as_ref().copied());
        id
    }

    /// Notes for what a sender waits.
    fn note(&self, step: &str) {
        let node = self.node();
        let is_connected = if self.connection().is_some() { "connected" } else { "not connected" };
        let step = format!("{step}, {} wait, {is_connected}", self.waiting());
        node.world.books().steps.insert((node.name.clone(), self.to().to_owned()), step);
    }

    /// Waits for this future, and notes for what.
    async fn noting<T>(&self, step: &str, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            self.note(step);
            if let Ok(result) = timeout(Duration::from_secs(1), &mut future).await {
                return result;
            }
        }
    }

    /// Sends during the faults. Then sends one message of each kind that must arrive, and watches
    /// what waits, until the end.
    async fn talk(self) {
        let (node, world) = (self.node(), &self.node().world);
        let mut dice = SmallRng::seed_from_u64(node.roll(RngExt::random));
        let mut deliveries = JoinSet::new();
        self.note("it sends during the faults");
        while world.phase() == Phase::Faults {
            pause(&mut dice, 300).await;
            let at_once = if dice.random_bool(0.05) { 60 } else { dice.random_range(0..6) };
            for _ in 0..at_once {
                self.send_one(&mut dice, &mut deliveries).await;
            }
            if let Some(conn) = self.connection().filter(|_| dice.random_bool(0.03)) {
                conn.close();
            }
            match &self {
                Self::ToBox(hub, id) if dice.random_bool(0.01) => {
                    let mut books = world.books();
                    let last = books.messages.len() as u64;
                    books.dropped.insert((node.name.clone(), id.clone()), last);
                    drop(books);
                    hub.drop_waiting(id);
                }
                Self::ToStation(client) if dice.random_bool(0.05) => client.retry_now(),
                _ => {}
            }
        }
        self.note("it waits for the proof");
        world.reach(Phase::Proof).await;
        // What was sent before the faults ended has to be known, too.
        let mut kinds: Vec<_> = (0..KEYS).map(Kind::Level).chain([Kind::State]).collect();
        kinds.retain(|_| dice.random_bool(0.5));
        kinds.push(Kind::Reading);
        for kind in kinds {
            let (id, mut delivering) = loop {
                let (id, mut delivering) = self.deliver(kind);
                match self.noting(&format!("{id} ({kind:?}) is not accepted"), delivering.accepted()).await {
                    Ok(()) => break (id, delivering),
                    // What waits has to leave first.
                    Err(DeliveryError::NotAccepted(SendError::OutboxFull)) => sleep(Duration::from_millis(200)).await,
                    Err(error) => {
                        world.wrong(format!("a message was not accepted after the faults: {error:?}"));
                        return;
                    }
                }
            };
            if !world.disks[&node.name].is_durable(id) {
                world.wrong(format!("{id} was accepted after the faults, and is not durable"));
            }
            let _ = self.noting(&format!("{id} ({kind:?}) is not sent"), delivering.sent()).await;
            deliveries.spawn(async move { (id, delivering.await) });
        }
        self.note("it is done");
        world.books().proven += 1;
        while world.phase() < Phase::End {
            while let Some(Ok((id, result))) = deliveries.try_join_next() {
                world.concluded(id, &result);
            }
            let key = (node.name.clone(), self.to().to_owned());
            world.books().waiting.insert(key, self.waiting() + deliveries.len());
            if let Self::ToBox(hub, id) = &self {
                let states = [
                    hub.state::<Shown>(id).map(|state| state.value.id),
                    hub.state::<Desired>(id).map(|state| state.value.id),
                ];
                world.books().states.insert(id.clone(), states);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn send_one(&self, dice: &mut SmallRng, deliveries: &mut JoinSet<(u64, Result<(), DeliveryError>)>) {
        let world = &self.node().world;
        let kind = match dice.random_range(0..10) {
            0..4 => Kind::Reading,
            4..6 => Kind::Brief,
            6..8 => Kind::Sample,
            8 => Kind::Level(dice.random_range(0..KEYS)),
            _ => Kind::State,
        };
        match dice.random_range(0..6) {
            0 => {
                // It may be dropped.
                let limit = Duration::from_millis(dice.random_range(0..20));
                let _ = timeout(limit, self.send(kind)).await;
            }
            1 => drop(self.deliver(kind)),
            2 => {
                let (id, mut delivering) = self.deliver(kind);
                match delivering.accepted().await {
                    Ok(()) => world.decide(id, Ok(())),
                    Err(DeliveryError::NotAccepted(error)) => world.decide(id, Err(&error)),
                    Err(_) => {}
                }
            }
            3 => {
                let (id, delivering) = self.deliver(kind);
                deliveries.spawn(async move { (id, delivering.await) });
            }
            _ => drop(self.send(kind).await),
        }
        while let Some(Ok((id, result))) = deliveries.try_join_next() {
            world.concluded(id, &result);
        }
    }
}

/// Runs the tasks until they end, or the program has to start again. Returns whether it has to.
async fn until_restart(mut talking: JoinSet<()>, restart: &mut watch::Receiver<()>) -> bool {
    let done = async { while talking.join_next().await.is_some() {} };
    tokio::select! {
        () = done => false,
        _ = restart.changed() => true,
    }
}

/// The program of the server.
async fn station(world: Arc<World>, seed: u64) -> turmoil::Result {
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut restart = world.restarts[STATION].subscribe();
    loop {
        let watching = world.start_program(STATION);
        let [messages, bytes] = world.bounds;
        let mailbox = Mailbox::new()
            .messages_per_peer(messages)
            .bytes_per_peer(bytes)
            .messages(3 * messages)
            .store(world.disks[STATION].open());
        let hub = Hub::builder()
            .config(world.config.clone())
            .observer(watching)
            .mailbox(mailbox)
            .endpoint(Node::new(&world, STATION, dice.random()))
            .build()?;
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        let accepting = segments::accept(hub.ws_handler(query_id, |_| {}), listener, world.segment);
        let mut talking = JoinSet::new();
        for id in &world.boxes {
            talking.spawn(Way::ToBox(hub.clone(), id.clone()).talk());
        }
        let starts_again = until_restart(talking, &mut restart).await;
        accepting.abort();
        let cut_off = hub.shutdown(TIME_LIMIT).await;
        if cut_off > 0 {
            world.wrong(format!("the shutdown has cut off {cut_off} connections"));
        }
        let kept = fuzz::kept_by_hub(&hub);
        if kept[0] != kept[1] {
            world.wrong(format!("the hub counts {:?} messages and bytes, and keeps {:?}", kept[0], kept[1]));
        }
        world.disks[STATION].set_trouble(Trouble::Nothing);
        drop(hub);
        if !starts_again {
            break;
        }
    }
    if let Some(why) = conclude(STATION).await {
        world.wrong(why);
    }
    Ok(())
}

/// The program of a box.
async fn edge(world: Arc<World>, name: String, seed: u64) -> turmoil::Result {
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut restart = world.restarts[&name].subscribe();
    loop {
        let (watching, segment) = (world.start_program(&name), world.segment);
        let outbox = Outbox::new().messages(world.bounds[0]).bytes(world.bounds[1]).store(world.disks[&name].open());
        let client = Client::builder(format!("ws://{STATION}:{PORT}/ws?id={name}"))
            .config(world.config.clone())
            .backoff(Backoff::default().initial(Duration::from_millis(100)).max(Duration::from_secs(1)))
            .connector(move |destination| async move {
                let stream = TcpStream::connect((destination.host, destination.port)).await?;
                Ok(Segments::new(stream, segment))
            })
            .observer(watching)
            .outbox(outbox)
            .endpoint(Node::new(&world, &name, dice.random()))
            .build()?;
        let mut talking = JoinSet::new();
        let connecting = client.clone();
        talking.spawn(async move { drop(connecting.start(CancellationToken::new()).await) });
        talking.spawn(Way::ToStation(client.clone()).talk());
        let starts_again = until_restart(talking, &mut restart).await;
        client.close();
        if timeout(TIME_LIMIT, client.closed()).await.is_err() {
            world.wrong(format!("{name} does not close"));
        }
        let kept = fuzz::kept_by_client(&client);
        if kept[0] != kept[1] {
            world.wrong(format!("{name} counts {:?} messages and bytes, and keeps {:?}", kept[0], kept[1]));
        }
        world.disks[&name].set_trouble(Trouble::Nothing);
        drop(client);
        if !starts_again {
            break;
        }
    }
    if let Some(why) = conclude(&name).await {
        world.wrong(why);
    }
    Ok(())
}

type Mend = Box<dyn Fn(&mut Sim<'_>, &World)>;

/// Breaks a link, a program or a disk. Returns how it is mended.
fn break_something(sim: &mut Sim<'_>, world: &World, dice: &mut SmallRng) -> Mend {
    let name = world.boxes[dice.random_range(0..world.boxes.len())].clone();
    let program = if dice.random_bool(0.4) { STATION.to_owned() } else { name.clone() };
    let disk = &world.disks[&program];
    match dice.random_range(0..9) {
        0..3 => {
            disk.crash(dice);
            sim.crash(&*program);
            let mut books = world.books();
            books.crashes += 1;
            if let Some(run) = books.runs.get_mut(&program) {
                run.number = 0;
                run.running.clear();
            }
            if dice.random_bool(0.2) {
                disk.wipe();
                books.wipes += 1;
                // It needs the states again.
                books.last.retain(|(name, _, slot), _| *name != program || slot != "state");
            }
            if dice.random_bool(0.2) {
                disk.move_clock([DAY, -DAY][dice.random_range(0..2)]);
            }
            Box::new(move |sim, _| sim.bounce(&*program))
        }
        3 => {
            world.restarts[&program].send_replace(());
            Box::new(|_, _| {})
        }
        4..6 => {
            let trouble = [Trouble::Slow(dice.random_range(20..1500)), Trouble::Full, Trouble::Uncertain];
            disk.set_trouble(trouble[dice.random_range(0..3)]);
            Box::new(move |_, world| world.disks[&program].set_trouble(Trouble::Nothing))
        }
        _ => {
            let mend = break_link(sim, dice, name);
            Box::new(move |sim, _| mend(sim))
        }
    }
}

/// Ends the waits of the disks, also after a panic.
struct Hurry<'w>(&'w World);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.disks.values().for_each(|disk| disk.set_trouble(Trouble::Nothing));
    }
}

/// What the seeds have covered, so that a run that tests nothing is visible.
#[derive(Default)]
struct Figures {
    messages: u64,
    durable: u64,
    handled: u64,
    again: u64,
    gaps: u64,
    expired: u64,
    failures: u64,
    resumed: u64,
    crashes: u64,
    wipes: u64,
    refused: u64,
    outcomes: BTreeMap<&'static str, u64>,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.durable += other.durable;
        self.handled += other.handled;
        self.again += other.again;
        self.gaps += other.gaps;
        self.expired += other.expired;
        self.failures += other.failures;
        self.resumed += other.resumed;
        self.crashes += other.crashes;
        self.wipes += other.wipes;
        self.refused += other.refused;
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
    }
}

/// Runs one seed.
fn simulate(seed: u64) -> Result<Figures, String> {
    let mut dice = SmallRng::seed_from_u64(seed);
    let world = World::new(&mut dice);
    let mut sim = network(&mut dice);
    let hurry = Hurry(&world);
    let (here, own) = (world.clone(), dice.random());
    sim.host(STATION, move || station(here.clone(), own));
    for name in &world.boxes {
        let (here, name, own) = (world.clone(), name.clone(), dice.random());
        sim.host(name.clone(), move || edge(here.clone(), name.clone(), own));
    }
    let tick = |sim: &Sim<'_>| {
        let now = u64::try_from(sim.elapsed().as_millis()).expect("at most an hour");
        world.disks.values().for_each(|disk| disk.tick(now));
    };
    let for_a_while = |sim: &mut Sim<'_>, length| {
        run(sim, length, &mut |sim| {
            tick(sim);
            false
        })
    };
    for _ in 0..dice.random_range(3..9) {
        for_a_while(&mut sim, Duration::from_millis(dice.random_range(100..2000)))?;
        let mends: Vec<_> =
            (0..dice.random_range(1..=2)).map(|_| break_something(&mut sim, &world, &mut dice)).collect();
        for_a_while(&mut sim, Duration::from_millis(dice.random_range(50..3000)))?;
        mends.iter().for_each(|mend| mend(&mut sim, &world));
    }
    world.phase.send_replace(Phase::Calm);
    for_a_while(&mut sim, CALM)?;
    let start = Instant::now();
    let is_ready = |_: &mut Sim<'_>| world.disks.values().all(|disk| !disk.has_failed());
    while !run(&mut sim, Duration::from_secs(1), &mut |sim| {
        tick(sim);
        is_ready(sim)
    })? {
        if start.elapsed() > REAL_TIME {
            return Err("a disk was not tried again".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    world.phase.send_replace(Phase::Proof);
    let (start, until) = (Instant::now(), sim.elapsed() + SETTLED);
    while !run(&mut sim, Duration::from_secs(1), &mut |sim| {
        tick(sim);
        !world.books().wrong.is_empty() || world.missing().is_none()
    })? {
        if start.elapsed() > REAL_TIME && sim.elapsed() > until {
            return Err(format!("after the faults, {}", world.missing().unwrap_or_default()));
        }
        if sim.elapsed() > until {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let wrong = world.books().wrong.join("; ");
    if !wrong.is_empty() {
        return Err(wrong);
    }
    world.phase.send_replace(Phase::End);
    let names: Vec<String> = world.boxes.iter().cloned().chain([STATION.to_owned()]).collect();
    if !run(&mut sim, 4 * TIME_LIMIT, &mut |sim| {
        tick(sim);
        names.iter().all(|name| !sim.is_host_running(&**name))
    })? {
        return Err(format!("the programs do not shut down; {:?}", world.books().wrong));
    }
    drop(sim);
    drop(hurry);
    judge(&world)
}

impl World {
    /// Returns what is not settled.
    fn missing(&self) -> Option<String> {
        let books = self.books();
        let ways = 2 * self.boxes.len();
        if books.proven < ways {
            return Some(format!("only {} of {ways} have sent their last messages: {:?}", books.proven, books.steps));
        }
        if let Some(((from, to), waiting)) = books.waiting.iter().find(|(_, waiting)| **waiting > 0) {
            return Some(format!("{waiting} messages of {from} for {to} wait"));
        }
        if books.waiting.len() < ways {
            return Some("not everybody has looked".to_owned());
        }
        let mut newest: BTreeMap<(&str, &str, String), u64> = BTreeMap::new();
        for (name, disk) in &self.disks {
            let epoch = disk.epoch().unwrap_or_default();
            for ((own, peer, lane, number), id) in disk.all() {
                if own != epoch {
                    continue;
                }
                let Some(sent) = books.messages.get(&id) else { return Some(format!("{id} was never sent")) };
                let peer = if peer.is_empty() { STATION } else { &*sent.to };
                match (lane, sent.kind) {
                    (Lane::Latest, Kind::Level(key)) => {
                        newest.insert((name, peer, format!("level {key}")), id);
                    }
                    (Lane::Latest, _) => drop(newest.insert((name, peer, "state".to_owned()), id)),
                    (Lane::Seq, _) => {
                        if sent.succeeded + sent.failed > 0 {
                            continue;
                        }
                        for at in [name, peer] {
                            let is_ours = at == name;
                            let other = if is_ours { peer } else { name };
                            let is_explained = books.gaps.iter().any(|Reported { at: own, peer, gap, .. }| {
                                own == at
                                    && peer == other
                                    && gap.is_ours == is_ours
                                    && (gap.from..=gap.to).contains(&number)
                            });
                            if !is_explained {
                                return Some(format!(
                                    "{id} ({number}, {:?}) of {name} for {peer} was not handled, and {at} does not report it",
                                    sent.kind
                                ));
                            }
                        }
                    }
                }
            }
        }
        for ((name, peer, slot), id) in newest {
            if books.dropped.get(&(name.to_owned(), peer.to_owned())).is_some_and(|last| id <= *last) {
                continue;
            }
            let last = books.last.get(&(peer.to_owned(), name.to_owned(), slot.clone()));
            if last != Some(&id) {
                return Some(format!("{peer} has {last:?} of {name} as {slot}, and the newest is {id}"));
            }
            if slot == "state" {
                let (edge, at) = if name == STATION { (peer, 1) } else { (name, 0) };
                let known = books.states.get(edge).and_then(|states| states[at]);
                if known != Some(id) {
                    return Some(format!(
                        "the hub knows the state {known:?} of {name} for {peer}, and the newest is {id}"
                    ));
                }
            }
        }
        None
    }
}

/// Checks the records.
fn judge(world: &World) -> Result<Figures, String> {
    if let Some(missing) = world.missing() {
        world.wrong(format!("at the end, {missing}"));
    }
    let mut books = world.books();
    let Books { messages, gaps, expired, resumed, failures, observers, crashes, wipes, outcomes, wrong, .. } =
        &mut *books;
    for (name, observer) in &*observers {
        if observer.strong_count() > 0 {
            wrong.push(format!("a program on {name} has leaked its observer"));
        }
    }
    let handled = |sent: &Sent| u64::from(sent.succeeded + sent.failed);
    let figures = Figures {
        messages: messages.len() as u64,
        durable: world.disks.values().map(|disk| disk.all().len() as u64).sum(),
        handled: messages.values().map(|sent| handled(sent).min(1)).sum(),
        again: messages.values().map(|sent| handled(sent).saturating_sub(1)).sum(),
        gaps: gaps.len() as u64,
        expired: expired.values().sum(),
        failures: *failures,
        resumed: *resumed,
        crashes: *crashes,
        wipes: *wipes,
        refused: world.disks.values().map(Disk::refused).sum(),
        outcomes: std::mem::take(outcomes),
    };
    if wrong.is_empty() { Ok(figures) } else { Err(wrong.join("; ")) }
}

/// Rows G3, G4, G7, G8, G9, G12, G14, G15, G16 and G18: kept messages in a network that fails, with
/// disks and programs that fail.
#[test]
fn on_any_network_kept_messages_arrive_or_their_gap_is_reported() {
    let (count, figures, wrong) = each_seed(0..4, simulate);
    let outcomes: Vec<String> = figures.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    println!(
        "{count} seeds, {} failed: {} kept messages sent, {} durable, {} handled and {} of these again, {} gaps \
         reported, {} expired, {} failed; {} crashes, {} lost disks, {} commits refused, {} resumed; outcomes: {}",
        wrong.len(),
        figures.messages,
        figures.durable,
        figures.handled,
        figures.again,
        figures.gaps,
        figures.expired,
        figures.failures,
        figures.crashes,
        figures.wipes,
        figures.refused,
        figures.resumed,
        outcomes.join(", "),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Row G8: the oracle takes a gap for wrong if its messages were handled. After the sender has lost
/// its disk, the same numbers may be those of other messages, which never were durable.
#[tokio::test]
async fn a_gap_of_a_new_epoch_is_not_that_of_handled_messages() {
    const NUMBER: u64 = 1_093_001;
    let world = World::new(&mut SmallRng::seed_from_u64(0));
    let (at, disk) = (&*world.boxes[0], &world.disks[STATION]);
    let _programs = [STATION, at].map(|name| world.start_program(name));
    let put = |key: &str, value: &str| Change::Put { key: key.to_owned(), value: value.to_owned().into() };
    let message = put(&format!("out/{at}/seq/{NUMBER}"), "{}\n{\"data\":{\"id\":1}}");
    // In a thread of its own, as that of a program.
    let commit = |changes: Vec<Change>| {
        let mut store = disk.open();
        std::thread::spawn(move || store.commit(&changes)).join().expect("a store does not panic")
    };
    let report = |why, is_ours, to| {
        let (own, peer) = if is_ours { (STATION, at) } else { (at, STATION) };
        world.reported(own, peer, Missing { from: NUMBER, to, why, is_ours });
        world.books().wrong.len()
    };
    commit(vec![put("epoch", "first"), message]).expect("the disk works");
    let place = (STATION.to_owned(), "first".to_owned(), Lane::Seq, NUMBER);
    world.books().runs.get_mut(at).expect("it was started above").handled.insert(place);
    assert_eq!(report(Why::Expired, true, NUMBER + 1), 0);
    assert_eq!(report(Why::Expired, false, NUMBER), 1, "it was handled");

    let lose = |epoch| {
        disk.wipe();
        disk.set_trouble(Trouble::Full);
        commit(vec![put("epoch", epoch)]).expect_err("the disk is full");
    };
    lose("second");
    assert_eq!(report(Why::Dropped, true, NUMBER), 1);
    assert_eq!(report(Why::Dropped, false, NUMBER), 1, "another message with its number was dropped");
    assert_eq!(report(Why::Unknown, false, NUMBER), 2, "the first epoch had no other message");
    lose("third");
    assert_eq!(report(Why::Unknown, false, NUMBER), 2, "the second epoch had other messages");
}
