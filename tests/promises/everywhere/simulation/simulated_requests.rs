//! Two ends that ask each other in a simulated network with its faults: partitions, stalls, lost
//! segments, and programs that crash. Handlers ask their peer, to a depth of 5, and plain messages
//! flood both ways.
//!
//! The simulation asserts:
//!
//! - Each request ends in exactly one of its outcomes, within its deadline, and with its
//!   connection.
//! - A request with a reply was handled once. One that was not started, by its outcome, was not
//!   handled. No request was handled twice.
//! - After the faults, both ends ask to a depth of 5 at once, and each of these requests has its
//!   reply.
//! - After the shutdown, no request is in a table, and no task runs.
use crate::{PORT, STATION, Segments, TIME_LIMIT, each_seed, network, pause, run, segments};
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    ops::AddAssign,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use turmoil::{
    Sim,
    net::{TcpListener, TcpStream},
};
use wsx::{
    __private::fuzz, Backoff, CancellationToken, Client, Config, Connection, Envelope, Hub, RequestError,
    connection::Asking,
};
use wsx_tests::query_id;

const DEPTH: u32 = 5;
/// How long the network works before the proof: the time to connect again, and for the last
/// requests to end.
const CALM: Duration = Duration::from_secs(15);
/// The timeout of a request that must have its reply.
const LONG: Duration = Duration::from_secs(30);
/// How much later than its deadline a request may end: some steps of the simulated clock.
const TOLERANCE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Phase {
    Faults,
    Calm,
    Proof,
    End,
}

/// The data of a request.
#[derive(Serialize, Deserialize)]
struct Job {
    number: u64,
    /// How deep its handler asks.
    depth: u32,
    /// Whether it must have its reply.
    proof: bool,
    padding: String,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Asked {
    number: u64,
    padding: String,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Flood {
    padding: String,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Replied,
    Failed,
    TimedOut,
    Ended,
    /// Its future was dropped, or its program crashed.
    Dropped,
    NotSent,
    Busy,
    Expired,
    NotHandled,
    BadData,
}

impl Outcome {
    /// Returns how often the request may have been handled: at least, and at most.
    fn handled(self) -> (u32, u32) {
        match self {
            Self::Replied | Self::Failed => (1, 1),
            Self::TimedOut | Self::Ended | Self::Dropped => (0, 1),
            Self::NotSent | Self::Busy | Self::Expired | Self::NotHandled | Self::BadData => (0, 0),
        }
    }
}

#[derive(Default)]
struct Record {
    outcomes: Vec<Outcome>,
    handled: u32,
}

#[derive(Default)]
struct Books {
    requests: BTreeMap<u64, Record>,
    /// The ends of every connection.
    ends: Vec<Connection>,
    /// The number of requests of the proof that have their reply.
    proofs: usize,
    floods: u64,
    wrong: Vec<String>,
}

struct World {
    boxes: Vec<String>,
    config: Config,
    /// The maximum numbers of requests of the station and of the boxes.
    max_requests: [usize; 2],
    segment: usize,
    phase: watch::Sender<Phase>,
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
        Arc::new(Self {
            boxes: (0..dice.random_range(1..=2)).map(|n| format!("box-{n}")).collect(),
            config,
            max_requests: [(); 2].map(|()| [32, 1024][dice.random_range(0..2)]),
            segment: [536, 1460, 9000][dice.random_range(0..3)],
            phase: watch::Sender::new(Phase::Faults),
            books: Mutex::default(),
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nothing panics under this lock")
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

    /// For `register`.
    fn join(self: &Arc<Self>) -> impl Fn(&Connection) + Send + Sync + 'static {
        let world = self.clone();
        move |conn| world.books().ends.push(conn.clone())
    }

    /// Begins the record of a request.
    fn begin(self: &Arc<Self>) -> Open {
        let mut books = self.books();
        let number = books.requests.len() as u64;
        books.requests.insert(number, Record::default());
        Open { world: self.clone(), number, outcome: Outcome::Dropped }
    }
}

/// A request without an outcome. It was dropped if nothing else is set.
struct Open {
    world: Arc<World>,
    number: u64,
    outcome: Outcome,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut books = self.world.books();
        books.requests.entry(self.number).or_default().outcomes.push(self.outcome);
    }
}

/// A program: the endpoint of its handlers.
#[derive(wsx::Endpoint)]
struct Node {
    world: Arc<World>,
    dice: Mutex<SmallRng>,
}

impl Node {
    fn new(world: Arc<World>, seed: u64) -> Self {
        Self { world, dice: Mutex::new(SmallRng::seed_from_u64(seed)) }
    }

    fn roll<T>(&self, roll: impl FnOnce(&mut SmallRng) -> T) -> T {
        roll(&mut self.dice.lock().expect("nothing panics under this lock"))
    }

    fn padding(&self, proof: bool) -> String {
        let longest = self.roll(|dice| if proof { 12_000 } else { [0, 100, 2000, 20_000][dice.random_range(0..4)] });
        "x".repeat(self.roll(|dice| dice.random_range(0..=longest)))
    }

    /// Makes a request, and records its outcome. Returns whether it has its reply.
    async fn ask(&self, target: Target<'_>, depth: u32, proof: bool) -> Result<(), String> {
        let mut open = self.world.begin();
        let kinds: &[&str] =
            if proof { &["ask", "fetch"] } else { &["ask", "fetch", "ask", "fetch", "nothing", "bad"] };
        let kind = self.roll(|dice| kinds[dice.random_range(0..kinds.len())]);
        let job = Job { number: open.number, depth, proof, padding: self.padding(proof) };
        let (kind, data) = match kind {
            "bad" => ("ask", json!("no job")),
            kind => (kind, serde_json::to_value(job).expect("a job is JSON")),
        };
        let most = if proof { LONG } else { Duration::from_millis(self.roll(|dice| dice.random_range(1..4000))) };
        let patience = if !proof && self.roll(|dice| dice.random_bool(0.2)) {
            Duration::from_millis(self.roll(|dice| dice.random_range(0..500)))
        } else {
            2 * LONG
        };
        let asking = target.request(&Envelope::with_type(kind, data)).timeout(most);
        let (start, conn) = (Instant::now(), target.connection());
        let ended = async {
            match conn {
                Some(conn) => conn.closed().await,
                None => std::future::pending().await,
            };
            sleep(TOLERANCE).await;
        };
        let result = tokio::select! {
            biased;
            result = asking => result,
            () = sleep(patience) => return Ok(()),
            () = ended => {
                self.world.wrong(format!("request {} waits after the end of its connection", open.number));
                return Ok(());
            }
        };
        let elapsed = start.elapsed();
        if elapsed > most + TOLERANCE {
            self.world.wrong(format!("request {} took {elapsed:?}, and its deadline was {most:?}", open.number));
        }
        open.outcome = match &result {
            Ok(asked) => {
                if asked.number != open.number {
                    self.world.wrong(format!("request {} got the reply to {}", open.number, asked.number));
                }
                Outcome::Replied
            }
            Err(RequestError::NoSuchConnection(_) | RequestError::NotSent(_)) => Outcome::NotSent,
            Err(RequestError::Ended(_)) => Outcome::Ended,
            Err(RequestError::TimedOut) => Outcome::TimedOut,
            Err(RequestError::NotHandled(_)) => Outcome::NotHandled,
            Err(RequestError::BadData(_)) => Outcome::BadData,
            Err(RequestError::Failed(_)) => Outcome::Failed,
            Err(RequestError::Busy) => Outcome::Busy,
            Err(RequestError::Expired) => Outcome::Expired,
            Err(error) => {
                self.world.wrong(format!("request {}: {error}", open.number));
                Outcome::Failed
            }
        };
        result.map(|_| ()).map_err(|error| format!("request {} at depth {depth}: {error}: {error:?}", open.number))
    }

    /// The handler of a request.
    async fn work(&self, conn: &Connection, job: Job) -> Result<Asked, String> {
        self.world.books().requests.entry(job.number).or_default().handled += 1;
        if !job.proof {
            let longest = self.roll(|dice| [0, 0, 0, 30, 600][dice.random_range(0..5)]);
            sleep(Duration::from_millis(longest)).await;
        }
        if job.depth > 0 {
            let children = if job.proof { 1 } else { self.roll(|dice| dice.random_range(0..3)) };
            let asked = (0..children).map(|_| self.ask(Target::Connection(conn), job.depth - 1, job.proof));
            for outcome in join_all(asked).await {
                if job.proof {
                    outcome?;
                }
            }
        }
        if !job.proof && self.roll(|dice| dice.random_bool(0.05)) {
            return Err("as the dice want it".to_owned());
        }
        Ok(Asked { number: job.number, padding: self.padding(job.proof) })
    }

    /// Asks its peer, and floods it, until the proof. Closes now and then.
    async fn talk<'t>(&self, target: impl Fn() -> Target<'t>, connection: impl Fn() -> Option<Connection>) {
        let mut dice = SmallRng::seed_from_u64(self.roll(RngExt::random));
        while self.world.phase() == Phase::Faults {
            pause(&mut dice, 300).await;
            if connection().is_none() && dice.random_bool(0.9) {
                continue;
            }
            let at_once = if dice.random_bool(0.1) { 80 } else { dice.random_range(0..6) };
            join_all((0..at_once).map(|_| self.ask(target(), dice.random_range(0..=DEPTH), false))).await;
            if let Some(conn) = connection().filter(|_| dice.random_bool(0.03)) {
                conn.close();
            }
        }
        self.world.reach(Phase::Proof).await;
        for outcome in join_all((0..3).map(|_| self.ask(target(), DEPTH, true))).await {
            match outcome {
                Ok(()) => self.world.books().proofs += 1,
                Err(why) => self.world.wrong(format!("after the faults, {why}")),
            }
        }
    }

    /// Floods its peer with plain messages.
    async fn flood(&self, connection: impl Fn() -> Option<Connection>) {
        let mut dice = SmallRng::seed_from_u64(self.roll(RngExt::random));
        while self.world.phase() < Phase::End {
            pause(&mut dice, 300).await;
            let faults = self.world.phase() == Phase::Faults;
            let (count, longest) =
                if faults { (dice.random_range(0..80), 3000) } else { (dice.random_range(0..6), 500) };
            for _ in 0..count {
                let Some(conn) = connection() else { break };
                let padding = "x".repeat(dice.random_range(0..longest));
                // It may be cut short, or the connection may end.
                let _ = timeout(Duration::from_secs(1), conn.send(&Flood { padding })).await;
            }
        }
    }
}

#[wsx::handler("ask", on = Node)]
async fn on_ask(node: &Node, job: Job, conn: &Connection) -> Result<Asked, String> {
    node.work(conn, job).await
}

#[wsx::handler("fetch", on = Node, concurrent = 3)]
async fn on_fetch(node: &Node, job: Job, conn: &Connection) -> Result<Asked, String> {
    node.work(conn, job).await
}

#[wsx::handler("flood", on = Node)]
async fn on_flood(node: &Node, _flood: Flood) {
    node.world.books().floods += 1;
    if node.roll(|dice| dice.random_bool(0.02)) {
        sleep(Duration::from_millis(20)).await;
    }
}

/// The connection that is asked.
#[derive(Clone, Copy)]
enum Target<'t> {
    Connection(&'t Connection),
    Hub(&'t Hub<Node>, &'t str),
    Client(&'t Client<Node>),
}

impl<'t> Target<'t> {
    fn connection(self) -> Option<Connection> {
        match self {
            Self::Connection(conn) => Some(conn.clone()),
            Self::Hub(hub, id) => hub.connection(id),
            Self::Client(client) => client.connection(),
        }
    }

    fn request(self, message: &Envelope<Value>) -> Asking<'t, Asked> {
        match self {
            Self::Connection(conn) => conn.request_as(message),
            Self::Hub(hub, id) => hub.request_as(id, message),
            Self::Client(client) => client.request_as(message),
        }
    }
}

/// After a shutdown: waits until no task runs. Returns what is wrong if one goes on.
pub(crate) async fn conclude(name: &str) -> Option<String> {
    let alive = || Handle::current().metrics().num_alive_tasks();
    let left = timeout(TIME_LIMIT, async {
        while alive() > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    });
    left.await.is_err().then(|| format!("{name}: {} tasks still run", alive()))
}

/// The program of the server.
async fn station(world: Arc<World>, seed: u64) -> turmoil::Result {
    let hub = Hub::builder()
        .config(world.config.clone().max_requests(world.max_requests[0]))
        .endpoint(Node::new(world.clone(), seed))
        .build()?;
    let upgrade = hub.ws_handler(query_id, world.join());
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let accepting = segments::accept(upgrade, listener, world.segment);
    let mut talking = JoinSet::new();
    for id in world.boxes.clone() {
        let (hub, other, there) = (hub.clone(), hub.clone(), id.clone());
        talking.spawn(async move { hub.endpoint().talk(|| Target::Hub(&hub, &id), || hub.connection(&id)).await });
        talking.spawn(async move { other.endpoint().flood(|| other.connection(&there)).await });
    }
    talking.join_all().await;
    let cut_off = hub.shutdown(TIME_LIMIT).await;
    if cut_off > 0 {
        world.wrong(format!("the shutdown has cut off {cut_off} connections"));
    }
    accepting.abort();
    drop(hub);
    let wrong = conclude(STATION).await;
    world.books().wrong.extend(wrong);
    Ok(())
}

/// The program of a box.
async fn edge(world: Arc<World>, name: String, seed: u64) -> turmoil::Result {
    let segment = world.segment;
    let client = Client::builder(format!("ws://{STATION}:{PORT}/ws?id={name}"))
        .config(world.config.clone().max_requests(world.max_requests[1]))
        .backoff(Backoff::default().initial(Duration::from_millis(100)).max(Duration::from_secs(1)))
        .connector(move |destination| async move {
            let stream = TcpStream::connect((destination.host, destination.port)).await?;
            Ok(Segments::new(stream, segment))
        })
        .endpoint(Node::new(world.clone(), seed))
        .build()?;
    client.connect(CancellationToken::new(), world.join()).await?;
    let mut talking = JoinSet::new();
    let (here, there) = (client.clone(), client.clone());
    talking.spawn(async move { here.endpoint().talk(|| Target::Client(&here), || here.connection()).await });
    talking.spawn(async move { there.endpoint().flood(|| there.connection()).await });
    talking.join_all().await;
    client.close();
    if timeout(TIME_LIMIT, client.closed()).await.is_err() {
        world.wrong(format!("{name} does not close"));
    }
    drop(client);
    let wrong = conclude(&name).await;
    world.books().wrong.extend(wrong);
    Ok(())
}

/// Breaks the network or a program. Returns how it is mended.
fn break_something(sim: &mut Sim<'_>, dice: &mut SmallRng, name: String) -> Box<dyn Fn(&mut Sim<'_>)> {
    if dice.random_range(0..5) > 0 {
        return break_link(sim, dice, name);
    }
    let crashed = if dice.random_bool(0.3) { STATION.to_owned() } else { name };
    sim.crash(&*crashed);
    Box::new(move |sim| sim.bounce(&*crashed))
}

/// Breaks the link of a box. Returns how it is mended.
pub(crate) fn break_link(sim: &mut Sim<'_>, dice: &mut SmallRng, name: String) -> Box<dyn Fn(&mut Sim<'_>)> {
    match dice.random_range(0..4) {
        0 => {
            sim.partition(&*name, STATION);
            Box::new(move |sim| sim.repair(&*name, STATION))
        }
        1 => {
            sim.hold(&*name, STATION);
            Box::new(move |sim| sim.release(&*name, STATION))
        }
        2 => {
            sim.set_link_fail_rate(&*name, STATION, dice.random_range(0.001..0.05));
            Box::new(move |sim| {
                sim.set_link_fail_rate(&*name, STATION, 0.0);
                sim.repair(&*name, STATION);
            })
        }
        _ => {
            sim.set_link_latency(&*name, STATION, Duration::from_millis(dice.random_range(100..400)));
            Box::new(move |sim| sim.set_link_latency(&*name, STATION, Duration::from_millis(1)))
        }
    }
}

/// What the seeds have covered, so that a run that tests nothing is visible.
#[derive(Default)]
struct Figures {
    requests: u64,
    outcomes: BTreeMap<Outcome, u64>,
    floods: u64,
    connections: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.floods += other.floods;
        self.connections += other.connections;
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
    let (here, own) = (world.clone(), dice.random());
    sim.host(STATION, move || station(here.clone(), own));
    for name in &world.boxes {
        let (here, name, own) = (world.clone(), name.clone(), dice.random());
        sim.host(name.clone(), move || edge(here.clone(), name.clone(), own));
    }
    for _ in 0..dice.random_range(2..5) {
        run(&mut sim, Duration::from_millis(dice.random_range(200..2000)), &mut |_| false)?;
        let name = world.boxes[dice.random_range(0..world.boxes.len())].clone();
        let mend = break_something(&mut sim, &mut dice, name);
        run(&mut sim, Duration::from_millis(dice.random_range(100..3000)), &mut |_| false)?;
        mend(&mut sim);
    }
    world.phase.send_replace(Phase::Calm);
    run(&mut sim, CALM, &mut |_| false)?;
    world.phase.send_replace(Phase::Proof);
    let proofs = 6 * world.boxes.len();
    let mut is_proven = |_: &mut Sim<'_>| {
        let books = world.books();
        books.proofs == proofs || !books.wrong.is_empty()
    };
    if !run(&mut sim, LONG + CALM, &mut is_proven)? {
        let books = world.books();
        return Err(format!("only {} of {proofs} requests have a reply after the faults", books.proofs));
    }
    world.phase.send_replace(Phase::End);
    let names: Vec<String> = world.boxes.iter().cloned().chain([STATION.to_owned()]).collect();
    if !run(&mut sim, 4 * TIME_LIMIT, &mut |sim| names.iter().all(|name| !sim.is_host_running(&**name)))? {
        return Err(format!("the programs do not shut down; {:?}", world.books().wrong));
    }
    drop(sim);
    judge(&world)
}

/// Checks the records.
fn judge(world: &World) -> Result<Figures, String> {
    let mut books = world.books();
    let Books { requests, ends, wrong, floods, .. } = &mut *books;
    let mut figures = Figures {
        requests: requests.len() as u64,
        floods: *floods,
        connections: ends.len() as u64,
        ..Figures::default()
    };
    for (number, Record { outcomes, handled }) in &*requests {
        let [outcome] = outcomes[..] else {
            wrong.push(format!("request {number} has the outcomes {outcomes:?}"));
            continue;
        };
        let (least, most) = outcome.handled();
        if !(least..=most).contains(handled) {
            wrong.push(format!("request {number} was handled {handled} times, and its outcome is {outcome:?}"));
        }
        *figures.outcomes.entry(outcome).or_default() += 1;
    }
    for conn in &*ends {
        let left = fuzz::outstanding(conn);
        if left > 0 {
            wrong.push(format!("{left} requests are left in the table of {}", conn.id()));
        }
    }
    if wrong.is_empty() { Ok(figures) } else { Err(wrong.join("; ")) }
}

/// Rows Q4, Q5 and R12: the outcomes of requests in a network that fails.
#[test]
fn on_any_network_each_request_ends_once_and_in_time() {
    let (count, figures, wrong) = each_seed(0..4, simulate);
    let outcomes: Vec<String> =
        figures.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome:?}")).collect();
    println!(
        "{count} seeds, {} failed: {} requests on {} connections ({}), {} plain messages handled",
        wrong.len(),
        figures.requests,
        figures.connections,
        outcomes.join(", "),
        figures.floods
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
