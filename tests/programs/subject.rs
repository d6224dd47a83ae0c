//! The server for tests and campaigns for which the example `echo` is not enough: a hub in a
//! process of its own. Lines on its standard input control it; it answers each with one line. It
//! exits when its input ends.
//!
//! | line | answer |
//! |---|---|
//! | `tasks` | the number of live tasks of the runtime |
//! | `connections` | the number of connections of the hub |
//! | `broadcast RATE SECONDS LENGTH` | `broadcasting`; then this many messages a second are sent |
use nix::sys::resource::{Resource, setrlimit};
use serde::Serialize;
use std::{error::Error, io::Write, str::FromStr, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    runtime::Handle,
};
use wsx::{CloseCode, Config, Connection, Envelope, Hub, RawFrame, SendError};

#[derive(wsx::Endpoint, Default)]
struct Subject;

#[wsx::handler("__raw__", on = Subject)]
async fn on_raw(frame: RawFrame<'_>, conn: &Connection) -> Result<(), SendError> {
    match frame {
        RawFrame::Text(text) => conn.send_bytes(&*text).await,
        RawFrame::Binary(bytes) => conn.send_binary(&bytes).await,
    }
}

#[wsx::handler("policy", on = Subject)]
async fn on_policy(conn: &Connection) {
    conn.close_with(CloseCode::POLICY_VIOLATION, "on request");
}

#[wsx::handler("panic", on = Subject)]
fn on_panic(_conn: &Connection) {
    panic!("on request")
}

#[wsx::handler("panic_later", on = Subject)]
async fn on_panic_later(_conn: &Connection) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    panic!("on request")
}

#[wsx::handler("numbers", on = Subject)]
fn on_numbers(numbers: Vec<u64>) -> Envelope<usize> {
    Envelope::with_type("count", numbers.len())
}

#[wsx::handler("any", on = Subject)]
fn on_any(any: serde_json::Value) -> Envelope<usize> {
    Envelope::with_type("count", any.as_array().map_or(0, Vec::len))
}

#[derive(Serialize)]
struct Tick {
    n: usize,
    rest: String,
}

/// Returns the value of an option, or its default.
fn option<T: FromStr<Err: Error + 'static>>(name: &str, default: T) -> Result<T, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == name);
    match at.and_then(|at| arguments.get(at + 1)) {
        Some(text) => Ok(text.parse()?),
        None => Ok(default),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let open_files = option("--open-files", 0)?;
    if open_files > 0 {
        setrlimit(Resource::RLIMIT_NOFILE, open_files, open_files)?;
    }
    // Tests ask for thousands of panics.
    std::panic::set_hook(Box::new(|_| {}));
    let workers = option("--workers", 2)?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let defaults = Config::default();
    let timeout = u64::try_from(defaults.write_timeout.as_millis())?;
    // The interval of the heartbeat in milliseconds; its timeout is half of that.
    let interval = option("--heartbeat", 0)?;
    let mut config = Config::default()
        .write_timeout(Duration::from_millis(option("--write-timeout", timeout)?))
        .queue_bytes(option("--queue-bytes", defaults.queue_bytes)?);
    if interval > 0 {
        config = config.heartbeat(Duration::from_millis(interval), Duration::from_millis(interval / 2));
    }
    // Fewer absent ids than connections of any campaign, so that they do not count as lost memory.
    let hub = Hub::builder().endpoint(Subject).config(config).max_absent(1000).build()?;
    let listener = TcpListener::bind(option("--listen", "127.0.0.1:0".to_owned())?).await?;
    print_line(&format!("listening on ws://{}/ws", listener.local_addr()?))?;
    tokio::spawn(hub.ws_handler(wsx::unique_id, |_| {}).path("/ws").serve(listener));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words {
            ["tasks"] => print_line(&Handle::current().metrics().num_alive_tasks().to_string())?,
            ["connections"] => print_line(&hub.len().to_string())?,
            ["broadcast", rate, seconds, length] => {
                tokio::spawn(broadcast(hub.clone(), rate.parse()?, seconds.parse()?, length.parse()?));
                print_line("broadcasting")?;
            }
            _ => return Err(format!("unknown command: {line}").into()),
        }
    }
    Ok(())
}

/// Prints a line for the controlling program.
fn print_line(line: &str) -> Result<(), Box<dyn Error>> {
    let mut output = std::io::stdout();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

/// Broadcasts at this rate. Late messages are sent at once.
async fn broadcast(hub: Hub<Subject>, rate: u32, seconds: u32, length: usize) {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    for n in 0..rate * seconds {
        pace.tick().await;
        let tick = Tick { n: n as usize, rest: "x".repeat(length) };
        hub.broadcast(&Envelope::with_type("tick", tick)).await.expect("a tick can be encoded");
    }
}
