//! Thousands of boxes that return after an outage, with kept messages for all of them: whether each
//! message is handled once and in order, how much memory the hub needs, and how long it takes. Row
//! G9 of the specification.
//!
//! ```text
//! cargo run --release -p wsx-programs --bin kept_return -- --boxes 5000 --messages 1000
//! cargo run --release -p wsx-programs --bin kept_return -- --boxes 5000 --messages 100 --to-boxes
//! ```
//!
//! The hub is a process of its own, and the boxes share a second one. They are connected, the hub
//! is killed as by `kill -9`, and each box puts its messages into its outbox. Then the hub is
//! started again. With `--to-boxes` the messages are in the hub's mailbox, and the boxes connect
//! then.
//!
//! Both ends have a short heartbeat. The program fails when a message is lost, is handled twice or
//! in another order, when a connection ends, and when the hub needs more memory than its bound.
//! `tests/run.sh` runs a short form, `tests/long.sh` the whole one.
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, time::sleep};
use wsx::{
    CancellationToken, Client, ClientState, Closed, Config, Connection, Hub,
    delivery::{Mailbox, Outbox},
};
use wsx_tests::query_id;

/// Time without a message that is handled or acknowledged, after which messages count as lost. The
/// reconnects take a few seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// A silent peer is pinged after the first time, and its connection ends after the second one.
const HEARTBEAT: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(20)];
/// Maximum memory of the hub for each box, while its messages arrive and after that.
const BYTES_FOR_A_BOX: u64 = 16 * 1024;
/// Maximum memory of the hub beside that: the threads, the buffers of the runtime, the allocator.
const OTHER_BYTES: u64 = 24 << 20;
/// Maximum memory of the hub for each message in its mailbox.
const BYTES_FOR_A_MESSAGE: u64 = 640;
/// Not the address of the boxes: a port without a listener may be a box's own port, and that box
/// then connects to itself.
const ADDRESS: &str = "127.0.0.2:0";
/// Connections that are opened at the same time.
const AT_ONCE: usize = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// From a box.
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Reading {
    n: u64,
    text: String,
}

/// From the hub.
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Setting {
    n: u64,
    text: String,
}

/// A text, so that a message has about 150 bytes.
fn text() -> String {
    "x".repeat(80)
}

/// What one end has handled.
#[derive(Default)]
struct Counts {
    handled: AtomicU64,
    /// Messages that were not the next one of their box.
    wrong: AtomicU64,
    /// Connections that ended.
    ended: AtomicU64,
    /// Answers to pings.
    pongs: AtomicU64,
}

impl Counts {
    /// Notes a message of a box. `next` is the number of the message that is expected.
    fn handle(&self, next: &AtomicU64, n: u64) {
        if next.swap(n + 1, Ordering::Relaxed) != n {
            count(&self.wrong);
        }
        count(&self.handled);
    }
}

fn count(number: &AtomicU64) {
    number.fetch_add(1, Ordering::Relaxed);
}

/// What a process reports, as one line.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Report {
    handled: u64,
    wrong: u64,
    ended: u64,
    pongs: u64,
    waiting: u64,
    /// The memory of the process, and the most that it ever was.
    resident: u64,
    peak: u64,
}

impl Report {
    fn of(counts: &Counts, waiting: usize) -> Result<Self, Failure> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("the system does not count")?;
            let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>()?;
            Ok::<_, Failure>(kib * 1024)
        };
        Ok(Self {
            handled: counts.handled.load(Ordering::Relaxed),
            wrong: counts.wrong.load(Ordering::Relaxed),
            ended: counts.ended.load(Ordering::Relaxed),
            pongs: counts.pongs.load(Ordering::Relaxed),
            waiting: u64::try_from(waiting)?,
            resident: bytes("VmRSS:")?,
            peak: bytes("VmHWM:")?,
        })
    }

    fn print(&self) -> Result<(), Failure> {
        let mut output = io::stdout();
        writeln!(output, "{}", serde_json::to_string(self)?)?;
        Ok(output.flush()?)
    }
}

/// How many there are.
#[derive(Clone, Copy)]
struct Plan {
    boxes: usize,
    messages: u64,
    /// Whether the hub sends.
    is_to_boxes: bool,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let plan = Plan {
        boxes: value("--boxes").map_or(Ok(5000), |text| text.parse())?,
        messages: value("--messages").map_or(Ok(1000), |text| text.parse())?,
        is_to_boxes: arguments.iter().any(|argument| argument == "--to-boxes"),
    };
    if let Some(address) = value("--serve") {
        return serve(address, plan).await;
    }
    if let Some(address) = value("--connect") {
        return connect(address, plan).await;
    }
    run(plan).await
}

/// Returns the id of a box.
fn id(number: usize) -> String {
    format!("box-{number}")
}

/// The hub. Prints its address, and a report for each line of input. A line `fill` fills the
/// mailbox before.
async fn serve(address: &str, plan: Plan) -> Result<(), Failure> {
    let counts = Arc::new(Counts::default());
    let next: Arc<[AtomicU64]> = (0..plan.boxes).map(|_| AtomicU64::new(0)).collect();
    let mailbox =
        Mailbox::new().messages_per_peer(100_000).bytes_per_peer(1 << 30).messages(100_000_000).bytes(1 << 34);
    let (handling, closing) = (counts.clone(), counts.clone());
    let hub = Hub::builder()
        .config(Config::default().heartbeat(HEARTBEAT[0], HEARTBEAT[1]))
        .mailbox(mailbox)
        .on("reading", move |Reading { n, text }: Reading, conn: Connection| {
            let number: Option<usize> = conn.id().strip_prefix("box-").and_then(|number| number.parse().ok());
            let next = number.filter(|_| text == self::text()).and_then(|number| next.get(number));
            match next {
                Some(next) => handling.handle(next, n),
                None => count(&handling.wrong),
            }
            async {}
        })
        .on("__close__", move |_: Closed, _| {
            count(&closing.ended);
            async {}
        })
        .build()?;
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    let register = {
        let counts = counts.clone();
        move |conn: &Connection| {
            let counts = counts.clone();
            conn.on_pong(move |_| count(&counts.pongs));
        }
    };
    tokio::spawn(hub.ws_handler(query_id, register).serve(listener));
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        if line == "fill" {
            for number in 0..plan.boxes {
                let id = id(number);
                for n in 0..plan.messages {
                    hub.send_to(&id, &Setting { n, text: text() }).await?;
                }
            }
        }
        let waiting = match line.as_str() {
            "end" => (0..plan.boxes).map(|number| hub.waiting(&id(number)).len()).sum(),
            _ => 0,
        };
        Report::of(&counts, waiting)?.print()?;
    }
    Ok(())
}

/// The boxes. Connects them, and prints a report. Then prints a report for each line of input. A
/// line `fill` waits for the end of all connections and fills the outboxes before.
async fn connect(address: &str, plan: Plan) -> Result<(), Failure> {
    let counts = Arc::new(Counts::default());
    let clients = (0..plan.boxes).map(|number| {
        let (counts, next) = (counts.clone(), AtomicU64::new(0));
        Client::builder(format!("ws://{address}/ws?id={}", id(number)))
            .config(Config::default().heartbeat(HEARTBEAT[0], HEARTBEAT[1]))
            .outbox(Outbox::new().bytes(1 << 30))
            .on("setting", move |setting: Setting, _| {
                counts.handle(&next, setting.n);
                async {}
            })
            .build()
    });
    let clients = clients.collect::<Result<Vec<_>, _>>()?;
    let starting = clients.iter().map(|client| client.start(CancellationToken::new()));
    let started: Vec<_> = futures_util::stream::iter(starting).buffer_unordered(AT_ONCE).collect().await;
    started.into_iter().collect::<Result<Vec<_>, _>>()?;
    for client in &clients {
        let (mut state, counts) = (client.state(), counts.clone());
        tokio::spawn(async move {
            while state.wait_for(|state| *state != ClientState::Connected).await.is_ok() {
                count(&counts.ended);
                let _ = state.wait_for(|state| *state == ClientState::Connected).await;
            }
        });
    }
    Report::of(&counts, 0)?.print()?;
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        if line == "fill" {
            for client in &clients {
                client.state().wait_for(|state| *state != ClientState::Connected).await?;
                for n in 0..plan.messages {
                    client.send(&Reading { n, text: text() }).await?;
                }
            }
        }
        Report::of(&counts, clients.iter().map(Client::waiting).sum())?.print()?;
    }
    Ok(())
}

/// Returns the lines of the input.
fn lines() -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

/// One of the two processes. Dropping this value kills it.
struct Process {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(role: &str, address: &str, plan: Plan) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([role, address, "--boxes", &plan.boxes.to_string(), "--messages", &plan.messages.to_string()]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take().ok_or("the process does not have an input")?;
        let output = BufReader::new(process.stdout.take().ok_or("the process does not have an output")?);
        Ok(Self { process, input, output })
    }

    /// Returns the next line of the process.
    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err("a process has ended".into()),
            _ => Ok(line.trim_end().into()),
        }
    }

    fn report(&mut self) -> Result<Report, Failure> {
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// Returns the report after this command.
    fn ask(&mut self, command: &str) -> Result<Report, Failure> {
        writeln!(self.input, "{command}")?;
        self.report()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL on Unix.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A number of bytes.
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

async fn run(plan: Plan) -> Result<(), Failure> {
    let Plan { boxes, messages, is_to_boxes } = plan;
    let total = boxes as u64 * messages;
    let mut hub = Process::start("--serve", ADDRESS, plan)?;
    let address = hub.line()?;
    let (mut fleet, before, filled, start);
    if is_to_boxes {
        before = hub.ask("status")?;
        filled = hub.ask("fill")?;
        start = Instant::now();
        fleet = Process::start("--connect", &address, plan)?;
        fleet.report()?;
    } else {
        fleet = Process::start("--connect", &address, plan)?;
        fleet.report()?;
        drop(hub);
        let full = fleet.ask("fill")?;
        println!("{} messages wait in the outboxes, in {}", full.waiting, Mib(full.resident));
        if full.waiting != total {
            return Err(format!("{} of {total} messages wait", full.waiting).into());
        }
        hub = Process::start("--serve", &address, plan)?;
        hub.line()?;
        before = hub.ask("status")?;
        filled = before;
        start = Instant::now();
    }
    let ended_before = fleet.ask("status")?.ended;
    let (mut last, mut changed) = ((0, 0), Instant::now());
    let is_drained = loop {
        let (of_hub, of_boxes) = (hub.ask("status")?, fleet.ask("status")?);
        let handled = if is_to_boxes { of_boxes.handled } else { of_hub.handled };
        if handled >= total && of_boxes.waiting == 0 {
            break true;
        }
        if last != (handled, of_boxes.waiting) {
            (last, changed) = ((handled, of_boxes.waiting), Instant::now());
        } else if changed.elapsed() > TIME_LIMIT {
            break false;
        }
        sleep(Duration::from_millis(200)).await;
    };
    let took = start.elapsed().as_secs_f64();
    // Longer than a heartbeat, so that acknowledgements, second copies and pings arrive.
    sleep(2 * HEARTBEAT[0]).await;
    let (of_hub, of_boxes) = (hub.ask("end")?, fleet.ask("end")?);
    let (handled, wrong) = (of_hub.handled + of_boxes.handled, of_hub.wrong + of_boxes.wrong);
    let cut = of_hub.ended + (of_boxes.ended - ended_before);
    let bound = before.resident
        + OTHER_BYTES
        + boxes as u64 * BYTES_FOR_A_BOX
        + if is_to_boxes { total * BYTES_FOR_A_MESSAGE } else { 0 };
    let waits = of_hub.waiting + of_boxes.waiting;
    println!(
        "{boxes} boxes with {messages} kept messages each, {}: {handled} of {total} handled, {wrong} wrong, {waits} wait, \
         {cut} connections cut, {} pongs; {:.1} s, {:.0} a second; the hub's memory: {} before, {} with its messages, \
         {} at most (bound {}), {} after",
        if is_to_boxes { "from the hub" } else { "to the hub" },
        of_hub.pongs,
        took,
        handled as f64 / took,
        Mib(before.resident),
        Mib(filled.resident),
        Mib(of_hub.peak),
        Mib(bound),
        Mib(of_hub.resident),
    );
    if !is_drained || handled != total || wrong > 0 || waits > 0 {
        return Err("a message was lost, or was handled twice or in another order".into());
    }
    if cut > 0 || of_hub.pongs == 0 {
        return Err("connections were cut, or no heartbeat was answered".into());
    }
    if of_hub.peak > bound {
        return Err(format!("the hub needed {}, and its bound is {}", Mib(of_hub.peak), Mib(bound)).into());
    }
    Ok(())
}
