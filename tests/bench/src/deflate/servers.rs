//! Servers of several libraries, each with and without compression. A server is a process on a core
//! of its own, and each round runs every server.
use crate::{
    deflate::{
        link::{Frames, Link},
        samples::Samples,
        serve::{Mode, Replay},
    },
    load::Fault,
    machine::{self, Cores},
    peers::{self, CommandLine, Missing},
    report::number,
    server::Server as Process,
    statistics::{median, ratio},
};
use clap::ValueEnum;
use std::{
    collections::HashSet,
    env,
    fmt::Write as _,
    io::{self, Write as _},
};

/// Connections of the measurement of single messages.
const LINKS: usize = 64;
/// Connections that receive a broadcast.
const EVERYONE: usize = 200;
/// How often the server sends its orders.
const ORDERS: usize = 20;

/// A library with or without compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Server {
    WsxOff,
    Wsx,
    WsxAlone,
    Wsx10,
    Wsx15,
    WsOff,
    Ws,
    WsAlone,
    WebsocketsOff,
    Websockets,
    GorillaOff,
    Gorilla,
    UwsOff,
    Uws,
}

impl Server {
    /// The same library without compression.
    fn plain(self) -> Self {
        match self {
            Self::WsxOff | Self::Wsx | Self::WsxAlone | Self::Wsx10 | Self::Wsx15 => Self::WsxOff,
            Self::WsOff | Self::Ws | Self::WsAlone => Self::WsOff,
            Self::WebsocketsOff | Self::Websockets => Self::WebsocketsOff,
            Self::GorillaOff | Self::Gorilla => Self::GorillaOff,
            Self::UwsOff | Self::Uws => Self::UwsOff,
        }
    }

    fn mode(self) -> Mode {
        match self {
            Self::WsxOff | Self::WsOff | Self::WebsocketsOff | Self::GorillaOff | Self::UwsOff => Mode::Off,
            Self::Wsx | Self::Ws | Self::Websockets | Self::Gorilla | Self::Uws => Mode::Default,
            Self::WsxAlone | Self::WsAlone => Mode::Alone,
            Self::Wsx10 => Mode::Context10,
            Self::Wsx15 => Mode::Context15,
        }
    }

    /// How it appears in the tables.
    fn title(self) -> &'static str {
        match self {
            Self::WsxOff => "wsx, off",
            Self::Wsx => "wsx, the default: context of the client, 10 bits",
            Self::WsxAlone => "wsx, without contexts",
            Self::Wsx10 => "wsx, both contexts, 10 bits",
            Self::Wsx15 => "wsx, both contexts, 15 bits",
            Self::WsOff => "ws, off",
            Self::Ws => "ws, both contexts, 15 bits",
            Self::WsAlone => "ws, without contexts",
            Self::WebsocketsOff => "websockets, off",
            Self::Websockets => "websockets, the default: both contexts, 12 bits",
            Self::GorillaOff => "gorilla, off",
            Self::Gorilla => "gorilla, the only way: without contexts, level 1",
            Self::UwsOff => "uWebSockets, off",
            Self::Uws => "uWebSockets, shared compressor: without contexts",
        }
    }

    fn command(self) -> Result<CommandLine, Missing> {
        let mut command = match self.plain() {
            Self::WsOff => peers::on_ws("deflate.mjs")?,
            Self::WebsocketsOff => peers::on_websockets("deflate.py")?,
            Self::UwsOff => peers::on_socketify("shared.py")?,
            Self::GorillaOff => peers::go("deflate")?,
            _ => {
                let program = env::current_exe().map_err(|error| Missing(format!("this program's path: {error}")))?;
                CommandLine { program, arguments: vec!["deflate-serve".into()] }
            }
        };
        let mode = self.mode().to_possible_value().map_or_else(String::new, |mode| mode.get_name().to_owned());
        command.arguments.push(mode);
        if self.plain() != Self::WsxOff {
            // The samples, which a program in another language reads itself.
            command.arguments.push(peers::home().join("samples").to_string_lossy().into_owned());
        }
        Ok(command)
    }
}

/// A server that can start.
#[derive(Debug)]
pub(super) struct Ready {
    server: Server,
    command: CommandLine,
}

/// Returns the servers that can start, and what is missing for the others.
pub(super) fn prepare(servers: &[Server]) -> (Vec<Ready>, HashSet<String>) {
    let (mut ready, mut missing) = (Vec::new(), HashSet::new());
    for server in servers {
        match server.command() {
            Ok(command) => ready.push(Ready { server: *server, command }),
            Err(Missing(why)) => drop(missing.insert(why)),
        }
    }
    (ready, missing)
}

/// The figures of a direction in one round.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// CPU time of the server for each message.
    cpu_us: f64,
    /// Length of its messages on the wire, in percent of their frames without compression.
    percent: f64,
}

/// Starts a server, and calls `measure` with it.
fn with<T>(ready: &Ready, measure: impl FnOnce(&Process) -> Result<T, Fault>) -> Result<T, Fault> {
    let cores = Cores::choose().map_err(|error| Fault(error.to_string()))?;
    let process = Process::start(&ready.command, cores.server, cores.load)?;
    measure(&process).map_err(|Fault(why)| Fault(format!("{:?}: {why}", ready.server)))
}

fn open(process: &Process, links: usize) -> Result<Vec<Link>, Fault> {
    (0..links).map(|_| Link::open(process.address)).collect()
}

/// The message that the server sends back.
const MARK: &str = r#"{"ver":1,"type":"mark","ts":1796069622,"data":{}}"#;

/// Waits until the server has handled everything that these connections have sent.
fn settle(links: &mut [Link]) -> Result<(), Fault> {
    links.iter_mut().try_for_each(|link| link.send_plain(MARK))?;
    links.iter_mut().try_for_each(|link| link.receive(1).map(drop))
}

fn replay(link: &mut Link, samples: Samples, count: usize, everyone: bool) -> Result<(), Fault> {
    let data = serde_json::to_string(&Replay { samples, count, everyone }).map_err(io::Error::from)?;
    link.send_plain(&format!(r#"{{"ver":1,"type":"replay","ts":1796069622,"data":{data}}}"#))
}

/// Runs `phase`, and returns the server's CPU time.
fn timed(process: &Process, phase: impl FnOnce() -> Result<(), Fault>) -> Result<f64, Fault> {
    let before = process.cpu_time()?;
    phase()?;
    Ok(process.cpu_time()?.since(before).0.as_secs_f64() * 1e6)
}

/// The length of a message in a frame of a server.
fn framed(message: &str) -> usize {
    message.len() + if message.len() < 126 { 2 } else { 4 }
}

/// Measures what boxes send, what they are sent, and a broadcast.
fn directions(ready: &Ready) -> Result<[Figures; 3], Fault> {
    with(ready, |process| {
        let mut links = open(process, LINKS)?;
        Ok([received(process, &mut links)?, sent(process, &mut links)?, with(ready, broadcast)?])
    })
}

fn received(process: &Process, links: &mut [Link]) -> Result<Figures, Fault> {
    let messages = Samples::Telemetry.lines();
    let Frames { first, again } = Frames::new(&messages, links[0].agreed);
    let mut pass = |frames: &[Vec<u8>]| {
        // In turns, as boxes send.
        frames.iter().try_for_each(|frame| links.iter_mut().try_for_each(|link| link.send(frame)))?;
        settle(links)
    };
    pass(&first)?;
    let cpu = timed(process, || pass(&again))?;
    let plain: usize = messages.iter().map(|message| framed(message) + 4).sum();
    let wire: usize = again.iter().map(Vec::len).sum();
    Ok(Figures { cpu_us: cpu / (messages.len() * LINKS) as f64, percent: wire as f64 * 100.0 / plain as f64 })
}

fn sent(process: &Process, links: &mut [Link]) -> Result<Figures, Fault> {
    let messages = Samples::Orders.lines();
    let mut wire = 0;
    let mut pass = |times: usize| {
        links.iter_mut().try_for_each(|link| replay(link, Samples::Orders, messages.len() * times, false))?;
        wire = 0;
        for link in links.iter_mut() {
            wire += link.receive(messages.len() * times)?;
        }
        Ok(())
    };
    pass(1)?;
    let cpu = timed(process, || pass(ORDERS))?;
    let plain: usize = messages.iter().map(|message| framed(message)).sum();
    Ok(Figures {
        cpu_us: cpu / (messages.len() * ORDERS * LINKS) as f64,
        percent: wire as f64 * 100.0 / (plain * ORDERS * LINKS) as f64,
    })
}

fn broadcast(process: &Process) -> Result<Figures, Fault> {
    let messages = Samples::Changes.lines();
    let mut links = open(process, EVERYONE)?;
    // A connection that has received a reply is registered.
    for link in &mut links {
        link.send_plain(MARK)?;
        link.inflate(1)?;
    }
    replay(&mut links[0], Samples::Changes, messages.len(), true)?;
    for link in &mut links {
        let received = link.inflate(messages.len())?;
        let same = |pair: (&String, &&str)| {
            let of =
                |text: &str| serde_json::from_str::<serde_json::Value>(text).ok().map(|value| value["data"].clone());
            of(pair.0) == of(pair.1)
        };
        if !received.iter().zip(&messages).all(same) {
            return Err(Fault("a message of a broadcast has changed".into()));
        }
    }
    let mut wire = 0;
    let cpu = timed(process, || {
        replay(&mut links[0], Samples::Changes, messages.len(), true)?;
        for link in &mut links {
            wire += link.receive(messages.len())?;
        }
        Ok(())
    })?;
    let plain: usize = messages.iter().map(|message| framed(message)).sum();
    Ok(Figures {
        cpu_us: cpu / (messages.len() * EVERYONE) as f64,
        percent: wire as f64 * 100.0 / (plain * EVERYONE) as f64,
    })
}

/// Returns the table of the work: bytes and CPU time of a message.
pub(super) fn work(all: &[Ready], rounds: usize) -> Result<String, Fault> {
    let mut results: Vec<Vec<[Figures; 3]>> = vec![Vec::new(); all.len()];
    for round in 0..rounds {
        for at in 0..all.len() {
            let at = if round % 2 == 0 { at } else { all.len() - 1 - at };
            let figures = directions(&all[at])?;
            let _ = writeln!(io::stderr(), "round {}/{rounds} {:?}: {figures:.1?}", round + 1, all[at].server);
            results[at].push(figures);
        }
    }
    let mut out =
        "| server | box to hub | CPU µs | ÷ off | hub to box | CPU µs | ÷ off | broadcast | CPU µs | ÷ off |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for (ready, figures) in all.iter().zip(&results) {
        let _ = write!(out, "| {}", ready.server.title());
        let plain = all.iter().position(|other| other.server == ready.server.plain());
        for direction in 0..3 {
            let each = |all: &[[Figures; 3]]| all.iter().map(|round| Some(round[direction].cpu_us)).collect::<Vec<_>>();
            let of = |value: fn(&Figures) -> f64| {
                median(figures.iter().map(|round| value(&round[direction]))).map_or_else(String::new, number)
            };
            let times = plain.and_then(|at| ratio(&each(figures), &each(&results[at])));
            let times = times.map_or_else(String::new, |times| format!("{times:.2}"));
            let _ = write!(out, " | {} % | {} | {times}", of(|figures| figures.percent), of(|figures| figures.cpu_us));
        }
        out.push_str(" |\n");
    }
    Ok(out)
}

/// Returns the table of the memory of idle connections, after they have filled their windows.
pub(super) fn memory(all: &[Ready], connections: usize) -> Result<String, Fault> {
    machine::raise_open_files().map_err(|error| Fault(error.to_string()))?;
    let mut results = Vec::new();
    for ready in all {
        let kb = with(ready, |process| idle(process, ready.server, connections))?;
        let _ = writeln!(io::stderr(), "{:?}: {kb:.1} KB for each connection", ready.server);
        results.push(kb);
    }
    let mut out = format!(
        "| server, {} idle connections | KB for each | more than off |\n|---|---:|---:|\n",
        number(connections as f64)
    );
    for (ready, kb) in all.iter().zip(&results) {
        let plain = all.iter().position(|other| other.server == ready.server.plain());
        let more = plain.map_or_else(String::new, |at| number(kb - results[at]));
        let _ = writeln!(out, "| {} | {} | {more} |", ready.server.title(), number(*kb));
    }
    Ok(out)
}

fn idle(process: &Process, server: Server, connections: usize) -> Result<f64, Fault> {
    // A window of 15 bits takes many messages to fill.
    let window = if matches!(server.mode(), Mode::Context15) { 1 << 15 } else { 1 << 12 };
    let count = |samples: Samples| {
        let mut bytes = 0;
        let is_needed = |line: &&&str| {
            let is_needed = bytes < window;
            bytes += line.len();
            is_needed
        };
        samples.lines().iter().take_while(is_needed).count()
    };
    let (to_send, to_receive) = (count(Samples::Telemetry), count(Samples::Changes));
    let mut links = open(process, 1)?;
    let fill = |links: &mut [Link]| {
        let frames = Frames::new(&Samples::Telemetry.lines()[..to_send], links[0].agreed).first.concat();
        for some in links.chunks_mut(LINKS) {
            some.iter_mut().try_for_each(|link| link.send(&frames))?;
            settle(some)?;
            some.iter_mut().try_for_each(|link| replay(link, Samples::Changes, to_receive, false))?;
            some.iter_mut().try_for_each(|link| link.receive(to_receive).map(drop))?;
        }
        Ok::<_, Fault>(())
    };
    // The first connection makes the server load what every connection needs.
    fill(&mut links)?;
    let before = process.resident_kb_at_rest()?;
    let mut more = open(process, connections)?;
    fill(&mut more)?;
    let after = process.resident_kb_at_rest()?;
    Ok((after as f64 - before as f64) / connections as f64)
}
