//! The real hub and the real client in a simulated network with all its faults: partitions (also in
//! one direction), lost and reordered segments, stalls, latencies of up to half a second, and
//! crashes of either end. Meanwhile both ends close connections now and then. Row R12 of the
//! specification.
//!
//! turmoil runs the network and the clock. A seed decides which faults happen, and when. The
//! library draws random numbers of its own, so a seed repeats the faults, but not always the whole
//! run. The simulation asserts:
//!
//! - On each connection the first part of the accepted messages arrives, in order; nothing arrives
//!   twice. If an end closes while the network works, all of them arrive.
//! - At most one connection of an id is open.
//! - After the faults every client is connected again, and a message arrives in both directions.
//! - After the shutdown there is no task, the hub is empty, and the observer has seen a close for
//!   each open. A program that crashed leaves nothing.
//!
//! `cargo test --package wsx-tests --test simulation` runs 50 seeds. `WSX_SEEDS=17` runs one, and
//! `WSX_SEEDS=0..1000` a range. A failure names its seed.
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    ops::Range,
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
    time::{sleep, timeout},
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
/// Time limit for what happens at once in a network that works.
const TIME_LIMIT: Duration = Duration::from_secs(15);

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
    Faults,
    Calm,
    Proof,
    /// The first end shuts down, then the other.
    End(usize),
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
    boxes: Vec<String>,
    config: Config,
    /// Whether messages continue after the faults. Otherwise only the heartbeat can detect a dead
    /// link.
    loud: bool,
    /// Which end shuts down first: the station, or the boxes.
    station_first: bool,
    phase: watch::Sender<Phase>,
    numbers: AtomicU64,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// By the sender's end, in the order of the sends.
    sent: BTreeMap<u64, Vec<(u64, Fate)>>,
    /// By the receiver's end: the sender's end and the message.
    arrived: BTreeMap<u64, Vec<(Option<u64>, u64)>>,
    /// By the receiver's end.
    receipts: BTreeMap<u64, Vec<u64>>,
    /// The senders' ends that closed after their last message, while the network worked.
    completed: BTreeSet<u64>,
    /// The boxes whose message arrived after the faults, with the direction.
    proofs: BTreeSet<(String, &'static str)>,
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
    fn connection_closed(&self, _: &Connection, _: &Closed) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
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
            .queue_messages(dice.random_range(1..64));
        let loud = dice.random_bool(0.3);
        if !loud || dice.random_bool(0.5) {
            // More than the longest round trip.
            config = config.heartbeat(Duration::from_secs(1), Duration::from_millis(1500));
        }
        Arc::new(Self {
            boxes: (0..dice.random_range(1..=4)).map(|n| format!("box-{n}")).collect(),
            config,
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
        phase == Phase::Faults || self.loud && phase == Phase::Calm
    }

    /// Waits for this end's turn to shut down.
    async fn end(&self, station: bool) {
        let turn = usize::from(station != self.station_first);
        // The sender is a field of this world, so waiting cannot fail.
        let _ = self.phase.subscribe().wait_for(|phase| *phase >= Phase::End(turn)).await;
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
        move |conn| conn.set_extension(Link(world.number()))
    }

    /// Makes a message for this connection and records it in the order of sends. The caller sends
    /// it at once.
    fn message(&self, conn: &Connection, dice: &mut SmallRng, proof: bool) -> (Numbered, u64) {
        let Link(link) = conn.extension().expect("`register` has set it");
        let number = self.number();
        self.books().sent.entry(link).or_default().push((number, Fate::Unknown));
        // Mostly small, now and then more than one segment of most networks.
        let longest = [16, 16, 200, 5000][dice.random_range(0..4)];
        let padding = "x".repeat(dice.random_range(0..longest));
        (Numbered { link: Some(link), number, proof, padding }, link)
    }

    fn decide(&self, link: u64, number: u64, fate: Fate) {
        let mut books = self.books();
        let sent = books.sent.get_mut(&link).expect("the message was recorded");
        // It is among the last ones.
        let (_, entry) = sent.iter_mut().rev().find(|(sent, _)| *sent == number).expect("the message was recorded");
        *entry = fate;
    }

    /// Sends, sometimes with a short time limit.
    async fn send(&self, sending: Sending<'_>, link: u64, number: u64, dice: &mut SmallRng) {
        let limit = Duration::from_millis(if dice.random_bool(0.2) { dice.random_range(1..50) } else { 60_000 });
        match timeout(limit, sending).await {
            Ok(Ok(())) => self.decide(link, number, Fate::Accepted),
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
            let (message, link) = self.message(conn, dice, false);
            let number = message.number;
            self.books().completed.insert(link);
            match send(message).await {
                Ok(()) => self.decide(link, number, Fate::Accepted),
                Err(error) => self.wrong(format!("a message before a close: {error}")),
            }
        }
    }

    /// Records a message in its handler.
    fn arrived(&self, conn: &Connection, message: &Numbered, box_name: &str, direction: &'static str) {
        let Link(link) = conn.extension().expect("`register` has set it");
        let mut books = self.books();
        books.arrived.entry(link).or_default().push((message.link, message.number));
        if message.proof {
            books.proofs.insert((box_name.to_owned(), direction));
        }
    }
}

/// Some handlers take longer than others.
async fn work(number: u64) {
    if number.is_multiple_of(13) {
        sleep(Duration::from_millis(number % 100)).await;
    }
}

async fn pause(dice: &mut SmallRng, longest: u64) {
    sleep(Duration::from_millis(dice.random_range(5..longest))).await;
}

/// The program of the server.
async fn station(world: Arc<World>, seed: u64) -> turmoil::Result {
    let census = world.start_program(STATION);
    let mut dice = SmallRng::seed_from_u64(seed);
    let here = world.clone();
    let hub = Hub::builder()
        .config(world.config.clone())
        .observer(Counted(census.clone()))
        .on("telemetry", move |telemetry: Telemetry, conn: Connection| {
            here.arrived(&conn, &telemetry.message, conn.id(), "up");
            async move {
                work(telemetry.message.number).await;
                Receipt { number: telemetry.message.number }
            }
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
    let accepting = tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let upgrade = upgrade.clone();
            // The observer gets the errors.
            tokio::spawn(async move { upgrade.serve_connection(stream, Some(peer)).await.is_ok() });
        }
    });
    let mut talking = JoinSet::new();
    for id in world.boxes.clone() {
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
    drop(hub);
    census.conclude().await;
    Ok(())
}

/// Sends commands to one box, and one more after the faults.
async fn command(world: Arc<World>, hub: Hub, id: String, mut dice: SmallRng) {
    while world.is_busy() {
        pause(&mut dice, 150).await;
        for _ in 0..dice.random_range(1..6) {
            let Some(conn) = hub.connection(&id) else { break };
            let (message, link) = world.message(&conn, &mut dice, false);
            let number = message.number;
            world.send(hub.send_to(&id, &Command { message }), link, number, &mut dice).await;
            world.close_sometimes(&conn, &mut dice);
        }
    }
    let _ = world.phase.subscribe().wait_for(|phase| *phase >= Phase::Proof).await;
    let Some(conn) = hub.connection(&id) else { return world.wrong(format!("{id} is not in the hub")) };
    let (message, link) = world.message(&conn, &mut dice, true);
    let number = message.number;
    match hub.send_to(&id, &Command { message }).await {
        Ok(()) => world.decide(link, number, Fate::Accepted),
        Err(error) => world.wrong(format!("a command to {id} after the faults: {error}")),
    }
}

async fn broadcast(world: Arc<World>, hub: Hub, mut dice: SmallRng) {
    while world.is_busy() {
        pause(&mut dice, 1000).await;
        let number = world.number();
        // The set of connections does not change before the broadcast has offered the message to
        // all of them.
        let conns = hub.ids().into_iter().filter_map(|id| hub.connection(&id));
        let links: Vec<_> = conns.map(|conn| conn.extension::<Link>().expect("`register` has set it").0).collect();
        for link in &links {
            world.books().sent.entry(*link).or_default().push((number, Fate::Unknown));
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
    let mut dice = SmallRng::seed_from_u64(seed);
    let (here, there, id) = (world.clone(), world.clone(), name.clone());
    let client = Client::builder(format!("ws://{STATION}:{PORT}/ws?id={name}"))
        .config(world.config.clone())
        .backoff(Backoff::default().initial(Duration::from_millis(100)).max(Duration::from_secs(1)))
        .observer(Counted(census.clone()))
        .connector(|destination| TcpStream::connect((destination.host, destination.port)))
        .on("command", move |command: Command, conn: Connection| {
            here.arrived(&conn, &command.message, &id, "down");
            async move { work(command.message.number).await }
        })
        .on("receipt", move |receipt: Receipt, conn: Connection| {
            let Link(link) = conn.extension().expect("`register` has set it");
            there.books().receipts.entry(link).or_default().push(receipt.number);
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
    let _ = world.phase.subscribe().wait_for(|phase| *phase >= Phase::Proof).await;
    talking.join_all().await;
    prove(&world, &client, &name, &mut dice).await;
    world.end(false).await;
    // If the station shut down first, a connection may still be closing.
    if let Some(conn) = client.connection().filter(|_| !world.station_first) {
        world.last_messages(&conn, &mut dice, |message| conn.send(&Telemetry { message })).await;
    }
    client.close();
    if timeout(TIME_LIMIT, client.closed()).await.is_err() {
        world.wrong(format!("{name} does not close; its state is {:?}", *client.state().borrow()));
    }
    drop(client);
    census.conclude().await;
    Ok(())
}

/// Sends telemetry.
async fn report(world: Arc<World>, client: Client, mut dice: SmallRng) {
    while world.is_busy() {
        pause(&mut dice, 150).await;
        for _ in 0..dice.random_range(1..6) {
            let Some(conn) = client.connection() else { break };
            let (message, link) = world.message(&conn, &mut dice, false);
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
    let (message, link) = world.message(&conn, dice, true);
    let number = message.number;
    match client.send(&Telemetry { message }).await {
        Ok(()) => world.decide(link, number, Fate::Accepted),
        Err(error) => world.wrong(format!("telemetry of {name} after the faults: {error}")),
    }
}

/// The fault of the path from a box to the station.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    Cut,
    CutOneWay { up: bool },
    Held,
    Lossy,
}

/// Causes faults in the network and the programs, and repairs them.
struct Faults {
    dice: SmallRng,
    /// The fault of each box, and when it ends, in milliseconds since the start, like all times
    /// here.
    ways: Vec<(Fault, u64)>,
    /// When the station, then each box, starts again.
    crashed: Vec<Option<u64>>,
    next: u64,
    counted: u64,
}

impl Faults {
    fn new(dice: SmallRng, boxes: usize) -> Self {
        Self { dice, ways: vec![(Fault::Nothing, 0); boxes], crashed: vec![None; boxes + 1], next: 0, counted: 0 }
    }

    fn program(world: &World, at: usize) -> &str {
        if at == 0 { STATION } else { &world.boxes[at - 1] }
    }

    fn step(&mut self, sim: &mut Sim<'_>, world: &World, now: u64) {
        self.mend(sim, world, now);
        if now >= self.next {
            self.next = now + self.dice.random_range(50..1500);
            self.break_something(sim, world, now);
        }
    }

    fn break_something(&mut self, sim: &mut Sim<'_>, world: &World, now: u64) {
        let until = now + self.dice.random_range(50..4000);
        if self.dice.random_bool(0.25) {
            let at = self.dice.random_range(0..self.crashed.len());
            if self.crashed[at].is_none() {
                sim.crash(Self::program(world, at));
                self.crashed[at] = Some(until);
                self.counted += 1;
            }
            return;
        }
        let at = self.dice.random_range(0..world.boxes.len());
        let name = &*world.boxes[at];
        let longest = Duration::from_millis(self.dice.random_range(2..=500));
        sim.set_link_max_message_latency(name, STATION, longest);
        if self.ways[at].0 != Fault::Nothing {
            return;
        }
        let up = self.dice.random_bool(0.5);
        let fault = [Fault::Nothing, Fault::Cut, Fault::CutOneWay { up }, Fault::Held, Fault::Lossy]
            [self.dice.random_range(0..5)];
        match fault {
            Fault::Nothing => {}
            Fault::Cut => sim.partition(name, STATION),
            Fault::CutOneWay { up: true } => sim.partition_oneway(name, STATION),
            Fault::CutOneWay { up: false } => sim.partition_oneway(STATION, name),
            Fault::Held => sim.hold(name, STATION),
            Fault::Lossy => sim.set_link_fail_rate(name, STATION, self.dice.random_range(0.001..0.05)),
        }
        self.ways[at] = (fault, until);
        self.counted += u64::from(fault != Fault::Nothing);
    }

    fn mend(&mut self, sim: &mut Sim<'_>, world: &World, now: u64) {
        for (at, until) in self.crashed.iter_mut().enumerate() {
            if until.is_some_and(|until| until <= now) {
                sim.bounce(Self::program(world, at));
                *until = None;
            }
        }
        for ((fault, until), name) in self.ways.iter_mut().zip(&world.boxes) {
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
            }
        }
    }

    fn mend_all(&mut self, sim: &mut Sim<'_>, world: &World) {
        self.mend(sim, world, u64::MAX);
        for name in &world.boxes {
            sim.set_link_max_message_latency(&**name, STATION, Duration::from_millis(100));
        }
    }
}

/// What the seeds have covered, so that a run that tests nothing is visible.
#[derive(Default)]
struct Figures {
    faults: u64,
    connections: u64,
    completed: u64,
    accepted: u64,
    lost: u64,
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
        .tcp_capacity(dice.random_range(4..64))
        .enable_random_order()
        .build();
    let (here, own) = (world.clone(), dice.random());
    sim.host(STATION, move || station(here.clone(), own));
    for name in &world.boxes {
        let (here, name, own) = (world.clone(), name.clone(), dice.random());
        sim.host(name.clone(), move || edge(here.clone(), name.clone(), own));
    }
    let length = dice.random_range(5..15);
    let mut faults = Faults::new(dice, world.boxes.len());
    let run = |sim: &mut Sim<'_>, most: Duration, done: &mut dyn FnMut(&mut Sim<'_>) -> bool| {
        let end = sim.elapsed() + most;
        while !done(sim) {
            if sim.elapsed() >= end {
                return Ok(false);
            }
            sim.step().map_err(|error| format!("a program failed: {error}"))?;
        }
        Ok::<_, String>(true)
    };
    run(&mut sim, Duration::from_secs(length), &mut |sim| {
        let now = u64::try_from(sim.elapsed().as_millis()).expect("at most an hour");
        faults.step(sim, &world, now);
        false
    })?;
    faults.mend_all(&mut sim, &world);
    world.phase.send_replace(Phase::Calm);
    run(&mut sim, CALM, &mut |_| false)?;
    world.phase.send_replace(Phase::Proof);
    let proofs = 2 * world.boxes.len();
    if !run(&mut sim, TIME_LIMIT, &mut |_| world.books().proofs.len() == proofs)? {
        let books = world.books();
        return Err(format!("only {:?} arrived after the faults; {:?}", books.proofs, books.wrong));
    }
    for turn in 0..2 {
        world.phase.send_replace(Phase::End(turn));
        let shutting_down: Vec<&str> = if world.station_first == (turn == 0) {
            vec![STATION]
        } else {
            world.boxes.iter().map(|name| &**name).collect()
        };
        if !run(&mut sim, 4 * TIME_LIMIT, &mut |sim| shutting_down.iter().all(|name| !sim.is_host_running(*name)))? {
            return Err(format!("{shutting_down:?} do not shut down; {:?}", world.books().wrong));
        }
    }
    drop(sim);
    judge(&world, faults.counted)
}

/// Checks the records.
fn judge(world: &World, faults: u64) -> Result<Figures, String> {
    let mut books = world.books();
    let Books { sent, arrived, receipts, completed, programs, wrong, .. } = &mut *books;
    for (name, program) in programs {
        if program.strong_count() > 0 {
            wrong.push(format!("a program on {name} has leaked its observer"));
        }
    }
    let mut figures = Figures { faults, connections: sent.len().max(arrived.len()) as u64, ..Figures::default() };
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
        if !pairs.get(link).is_some_and(|handled| handled.starts_with(numbers)) {
            wrong.push(format!("the receipts on {link} do not match the first messages that it sent: {numbers:?}"));
        }
    }
    for (link, messages) in &*sent {
        let accepted = messages.iter().filter(|(_, fate)| *fate == Fate::Accepted).count();
        let here = pairs.get(link).map_or(0, Vec::len);
        if completed.contains(link) {
            let arrived: BTreeSet<u64> = pairs.get(link).into_iter().flatten().copied().collect();
            let missing = messages.iter().filter(|(n, fate)| *fate == Fate::Accepted && !arrived.contains(n)).count();
            if missing > 0 {
                wrong.push(format!(
                    "{missing} accepted messages on {link} have not arrived, although the network worked at its close"
                ));
            }
        }
        figures.completed += u64::from(completed.contains(link));
        figures.accepted += accepted as u64;
        figures.lost += accepted.saturating_sub(here) as u64;
    }
    if wrong.is_empty() { Ok(figures) } else { Err(wrong.join("; ")) }
}

/// Asserts that the messages that arrived are the first of those that were accepted, in order. A
/// send with unknown outcome may have sent its message or not.
fn compare(offered: &[(u64, Fate)], arrived: &[u64]) -> Result<(), String> {
    let mut expected = offered.iter();
    let mut lost = None;
    for number in arrived {
        loop {
            match expected.next() {
                None => return Err(format!("{number} is out of order, duplicated, or was never sent")),
                Some((sent, Fate::Failed)) if sent == number => {
                    return Err(format!("{number} has arrived, although its send returned an error"));
                }
                Some((sent, _)) if sent == number => match lost {
                    Some(lost) => return Err(format!("{number} has arrived, but {lost} before it has not")),
                    None => break,
                },
                Some((sent, Fate::Accepted)) => lost = Some(sent),
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Reads `WSX_SEEDS`.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("WSX_SEEDS") else { return 0..50 };
    let number =
        |text: &str| text.parse().unwrap_or_else(|_| panic!("WSX_SEEDS must be a seed, or a range like 0..1000"));
    match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&text)..number(&text) + 1,
    }
}

#[test]
fn on_any_network_messages_stay_in_order_arrive_once_and_clients_reconnect() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let results = Mutex::new((Figures::default(), Vec::new()));
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
                        Ok(figures) => {
                            results.0.faults += figures.faults;
                            results.0.connections += figures.connections;
                            results.0.completed += figures.completed;
                            results.0.accepted += figures.accepted;
                            results.0.lost += figures.lost;
                        }
                        Err(why) => results.1.push(format!("seed {seed}: {why}")),
                    }
                }
            });
        }
    });
    let (figures, wrong) = results.into_inner().expect("nothing panics under this lock");
    let Figures { faults, connections, completed, accepted, lost } = figures;
    let (count, failed) = (seeds.end - seeds.start, wrong.len());
    println!(
        "{count} seeds, {failed} failed: {faults} faults, {connections} connections, {completed} of them closed in a network that \
         worked, {accepted} messages accepted, {lost} of them lost with their connections"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
