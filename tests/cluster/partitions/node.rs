//! A node of the campaign. It sends to boxes wherever they are, and notes what became of it.
use crate::{
    BOXES,
    messages::{Answer, Question, Reading, Tick, Told},
    notes::Notes,
    random::Random,
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, stdin},
    net::TcpListener,
    runtime::Handle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use wsx::{
    Config, Connection, Envelope, Hub, Observer, Rejection, RequestError, SendError,
    cluster::{ClusterEvent, Nats},
    http::request::Parts,
};
use wsx_cluster_tests::Failure;
use wsx_tests::alone::resident_kib;

/// How long a send may take: a node waits 5 s for the confirmation of another one.
const SEND: Duration = Duration::from_secs(5);
/// How much later than its deadline a request may end.
const LATE: Duration = Duration::from_secs(1);
/// After this time, a request or a send hangs.
const HANGS: Duration = Duration::from_secs(60);
/// A pause of this process that is longer than this does not count as time that wsx needed.
const PAUSE: Duration = Duration::from_millis(100);

/// What all tasks of a node share.
struct Node {
    hub: Hub,
    notes: Notes,
    /// The number of this process.
    start: u64,
    keys: AtomicU64,
    /// Whether it sends.
    is_on: AtomicBool,
    /// What happens to the cluster now: 0 nothing, 1 only NATS is away, 2 anything else.
    phase: AtomicUsize,
    /// Requests and sends that have not ended.
    pending: AtomicUsize,
    /// The time in which this process did not run, in milliseconds.
    paused: Arc<AtomicU64>,
}

/// Notes the events of the cluster, for the search of a fault.
struct Watching(Notes);

impl Observer for Watching {
    fn cluster_changed(&self, event: &ClusterEvent) {
        self.0.add(&format!("event {event}"));
    }
}

/// Serves until its input ends, and does what its input says.
pub(crate) async fn run(listen: &str, nats: &str, notes: &Path, start: u64) -> Result<(), Failure> {
    let notes = Notes::create(notes)?;
    let handling = notes.clone();
    let hub = Hub::builder()
        // Old connections of boxes that are gone stay, unless the cluster ends them.
        .config(Config::edge().heartbeat(Duration::from_secs(90), Duration::from_secs(30)))
        .observer(Watching(notes.clone()))
        .cluster(Nats::connect(nats)?)
        .on("reading", move |reading: Reading, conn: Connection| {
            // Before it is acknowledged.
            handling.add(&format!("handled {} {}", conn.id(), reading.number));
            async {}
        })
        .build()?;
    let listener = TcpListener::bind(listen).await?;
    let id = |request: Parts| async move { Ok::<_, Rejection>(request.uri.query().unwrap_or_default().to_owned()) };
    tokio::spawn(hub.ws_handler(id, |_| {}).serve(listener));
    let node = Arc::new(Node {
        hub,
        notes,
        start,
        keys: AtomicU64::new(0),
        is_on: AtomicBool::new(false),
        phase: AtomicUsize::new(0),
        pending: AtomicUsize::new(0),
        paused: notice_pauses(),
    });
    tokio::spawn(node.clone().every(Duration::from_millis(50), 1, Node::ask));
    tokio::spawn(node.clone().every(Duration::from_millis(50), 2, Node::send));
    tokio::spawn(node.clone().every(Duration::from_secs(1), 3, |node, _| {
        node.spawn(|node| async move { node.broadcast().await });
    }));
    tokio::spawn(node.clone().tick());
    println!("ready");
    let mut lines = tokio::io::BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["load", state] => node.is_on.store(state == "on", Relaxed),
            ["phase", phase] => node.phase.store(phase.parse()?, Relaxed),
            ["status"] => println!("{}", node.status()?),
            ["broadcast"] => println!("{}", node.broadcast().await),
            _ => return Err(format!("a node is not told {line:?}").into()),
        }
    }
    Ok(())
}

/// Counts the time in which this process does not run: it was stopped, or others use the processor.
fn notice_pauses() -> Arc<AtomicU64> {
    let paused = Arc::new(AtomicU64::new(0));
    let counted = paused.clone();
    thread::spawn(move || {
        loop {
            let start = Instant::now();
            thread::sleep(PAUSE / 5);
            let elapsed = start.elapsed();
            if elapsed > PAUSE {
                counted.fetch_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), Relaxed);
            }
        }
    });
    paused
}

impl Node {
    /// Does something again and again, while this node sends.
    async fn every(self: Arc<Self>, period: Duration, part: u64, act: impl Fn(&Arc<Self>, &mut Random)) {
        let (mut ticks, mut random) = (interval(period), Random::new(self.start, part));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.is_on.load(Relaxed) {
                act(&self, &mut random);
            }
        }
    }

    fn spawn<F: Future<Output: Send> + Send + 'static>(self: &Arc<Self>, act: impl FnOnce(Arc<Self>) -> F) {
        tokio::spawn(act(self.clone()));
    }

    fn key(&self) -> String {
        format!("{}-{}", self.start, self.keys.fetch_add(1, Relaxed))
    }

    fn ask(self: &Arc<Self>, random: &mut Random) {
        let (number, limit) = (random.index(BOXES), Duration::from_millis(300 + random.below(3000)));
        // Most boxes reply at once, some late, and some too late.
        let wait = [0, 0, 0, 0, 0, 100, 500, 2000][random.index(8)];
        self.spawn(|node| async move {
            let (id, key) = (format!("box-{number}"), node.key());
            let question = Question { key: key.clone(), wait };
            let asking = async { node.hub.request_as::<Answer>(&id, &question).timeout(limit).await };
            let outcome = match node.within(limit + LATE, "request", &key, asking).await {
                None => "hung",
                Some(Ok(answer)) if answer.key == key => "done",
                Some(Ok(_)) => "wrong",
                Some(Err(RequestError::Ended(_) | RequestError::TimedOut)) => "perhaps",
                Some(Err(error)) => not_sent(&error),
            };
            node.notes.add(&format!("request {key} {outcome}"));
        });
    }

    fn send(self: &Arc<Self>, random: &mut Random) {
        let number = random.index(BOXES);
        self.spawn(|node| async move {
            let (id, key) = (format!("box-{number}"), node.key());
            let told = Told { key: key.clone() };
            let sending = async { node.hub.send_to(&id, &told).await };
            let outcome = match node.within(SEND + LATE, "send", &key, sending).await {
                None => "hung",
                // A connection that ends takes what waits in its queue with it.
                Some(Ok(_) | Err(SendError::Unconfirmed)) => "perhaps",
                Some(Err(_)) => "not",
            };
            node.notes.add(&format!("send {key} {outcome}"));
        });
    }

    /// Awaits something that must end in this time, while this process runs.
    async fn within<T>(&self, limit: Duration, what: &str, key: &str, future: impl Future<Output = T>) -> Option<T> {
        self.pending.fetch_add(1, Relaxed);
        let (start, paused) = (Instant::now(), self.paused.load(Relaxed));
        let outcome = timeout(HANGS, future).await.ok();
        let elapsed = start.elapsed();
        if elapsed > limit {
            // A pause that is just over is counted soon.
            sleep(2 * PAUSE).await;
            let paused = Duration::from_millis(self.paused.load(Relaxed) - paused);
            if elapsed.saturating_sub(paused) > limit {
                self.notes.add(&format!("late {what} {key} {elapsed:?} of {limit:?}, {paused:?} of them paused"));
            }
        }
        self.pending.fetch_sub(1, Relaxed);
        outcome
    }

    async fn broadcast(&self) -> String {
        let key = format!("all-{}", self.key());
        match self.hub.broadcast(&Envelope::with_type("told", Told { key: key.clone() })).await {
            Ok(_) => key,
            Err(error) => format!("a broadcast failed: {error}"),
        }
    }

    /// Measures sends to boxes of this node.
    async fn tick(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_millis(20));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = 0;
        loop {
            ticks.tick().await;
            let own = self.hub.connections();
            if !self.is_on.load(Relaxed) || own.is_empty() {
                continue;
            }
            next += 1;
            let id = own[next % own.len()].id().to_owned();
            let (start, phase) = (Instant::now(), self.phase.load(Relaxed));
            let sent = self.hub.send_to(&id, &Tick {}).await;
            if sent.is_ok() {
                self.notes.add(&format!("local {phase} {}", start.elapsed().as_nanos()));
            }
        }
    }

    /// Returns what this node knows: whether it is connected, the number of other nodes, its tasks,
    /// its memory in KB, what has not ended, its own boxes, and all boxes.
    fn status(&self) -> Result<String, Failure> {
        let cluster = self.hub.cluster().ok_or("this is not a node")?;
        let memory = resident_kib();
        let own: Vec<String> = self.hub.connections().iter().map(|conn| conn.id().to_owned()).collect();
        Ok(format!(
            "{} {} {} {memory} {} {} {}",
            cluster.connected,
            cluster.nodes.len(),
            Handle::current().metrics().num_alive_tasks(),
            self.pending.load(Relaxed),
            joined(own),
            joined(self.hub.ids())
        ))
    }
}

/// Returns the ids in their order, with commas between them.
fn joined(mut ids: Vec<String>) -> String {
    ids.sort_unstable();
    if ids.is_empty() { "-".into() } else { ids.join(",") }
}

/// Returns whether a request that failed in this way has not reached a handler.
fn not_sent(error: &RequestError) -> &'static str {
    match error {
        RequestError::NotSent(SendError::Unconfirmed) => "perhaps",
        RequestError::NoSuchConnection(_) | RequestError::NotSent(_) | RequestError::Busy | RequestError::Expired => {
            "not"
        }
        _ => "wrong",
    }
}
