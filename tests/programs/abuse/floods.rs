//! Peers that send as fast as they can, and peers that declare long messages and send little: the
//! memory that they use in the server, and the delay of a well-behaved client meanwhile.
use crate::{
    Result,
    server::Server,
    wire::{BINARY, FIRST_FRAGMENT, FRAGMENT, PING, PONG, TEXT, frame},
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Maximum growth of the server's resident memory by one flood, in KiB.
pub(crate) const BOUND: u64 = 16 * 1024;
/// Maximum wait of the well-behaved client meanwhile, as a 99th percentile.
const WAIT: Duration = Duration::from_millis(50);

pub(crate) struct Flood {
    pub(crate) name: &'static str,
    /// Sent once on each connection.
    pub(crate) first: Vec<u8>,
    /// Sent again and again.
    pub(crate) repeated: Vec<u8>,
    /// Whether the flooders read the answers.
    pub(crate) reads: bool,
    /// Number of flooders at the same time.
    pub(crate) flooders: usize,
    /// Whether a handler decodes the messages. The echo does not.
    pub(crate) decoded: bool,
    /// Further headers of the flooders' requests.
    pub(crate) headers: &'static str,
    /// Maximum growth of the server's resident memory, in KiB.
    pub(crate) bound: u64,
}

/// The greatest growth of the resident memory in KiB, and the longest wait of a client.
pub(crate) type Worst = (u64, Duration);

/// Numbers in a message of 60 KB of JSON.
const NUMBERS: usize = 15_000;

fn kinds() -> Vec<Flood> {
    let few = |bytes: &[u8]| bytes.repeat((64 << 10) / bytes.len() + 1);
    let flood = |name, bytes: &[u8]| Flood {
        name,
        first: Vec::new(),
        repeated: few(bytes),
        reads: true,
        flooders: 1,
        decoded: false,
        headers: "",
        bound: BOUND,
    };
    let fragments = |name, first, next| Flood { first, ..flood(name, next) };
    let json = format!(r#"{{"type":"any","data":[123{}]}}"#, ",123".repeat(NUMBERS - 1));
    let (one_byte, empty) = (frame(FRAGMENT, b"x"), frame(FRAGMENT, b""));
    vec![
        Flood { reads: false, ..flood("pings, nothing read", &frame(PING, &[b'x'; 125])) },
        flood("pings", &frame(PING, &[b'x'; 125])),
        flood("empty pings", &frame(PING, b"")),
        flood("pongs", &frame(PONG, &[b'x'; 125])),
        flood("text", &frame(TEXT, &[b'x'; 125])),
        Flood { reads: false, ..flood("text, nothing read", &frame(TEXT, &[b'x'; 125])) },
        flood("64 KB", &frame(BINARY, &[b'x'; 64 << 10])),
        fragments("one-byte fragments", frame(FIRST_FRAGMENT, b"x"), &one_byte),
        fragments("empty fragments", frame(FIRST_FRAGMENT, b""), &empty),
        // More of them than the server has threads.
        Flood { flooders: 4, ..fragments("empty fragments, four times", frame(FIRST_FRAGMENT, b""), &empty) },
        Flood { flooders: 4, ..flood("empty pings, four times", &frame(PING, b"")) },
        // A hundred of them take longer to decode than the well-behaved client may wait.
        Flood { flooders: 4, decoded: true, ..flood("60 KB of JSON, four times", &frame(TEXT, json.as_bytes())) },
    ]
}

/// Runs each flood with a well-behaved client beside it.
pub(crate) fn floods(echo: &str, subject: &str, bytes: usize, checked: bool) -> Result<Vec<String>> {
    let (mut failures, mut worst, kinds) = (Vec::new(), (0, Duration::ZERO), kinds());
    for flood in &kinds {
        let server = Server::start(if flood.decoded { subject } else { echo }, &[])?;
        let (grown, p99) = flooded(&server, flood, bytes, checked, &mut failures)?;
        worst = (worst.0.max(grown), worst.1.max(p99));
    }
    println!(
        "{} floods of {} MB: at most {:.1} MB more resident, a well-behaved client's p99 at most {:.1} ms",
        kinds.len(),
        bytes >> 20,
        worst.0 as f64 / 1024.0,
        worst.1.as_secs_f64() * 1e3
    );
    Ok(failures)
}

/// Runs one flood with a well-behaved client beside it.
pub(crate) fn flooded(
    echo: &Server,
    flood: &Flood,
    bytes: usize,
    checked: bool,
    failures: &mut Vec<String>,
) -> Result<Worst> {
    let name = flood.name;
    // The first message allocates memory that the flood must not count.
    well_behaved(&mut echo.connect()?, &AtomicBool::new(true))?;
    let (before, busy, start) = (echo.resident()?, echo.cpu()?, Instant::now());
    let over = AtomicBool::new(false);
    let mut client = echo.connect()?;
    let (sent, most, mut waits) = thread::scope(|scope| {
        let client = scope.spawn(|| well_behaved(&mut client, &over).map_err(|error| error.to_string()));
        let flooded = pour(echo, flood, bytes);
        over.store(true, Ordering::Relaxed);
        let waits = client.join().map_err(|_| "the well-behaved client panicked")??;
        flooded.map(|(sent, most)| (sent, most, waits))
    })?;
    waits.sort_unstable();
    let p99 = waits[waits.len() * 99 / 100];
    let grown = most.saturating_sub(before);
    println!(
        "flood of {name}: {:.1} MB sent in {:.1} s for {:.1} s of CPU, {:.1} MB more resident, {:.1} MB afterwards; a well-behaved client's p99 {:.1} ms of {}",
        sent as f64 / f64::from(1 << 20),
        start.elapsed().as_secs_f64(),
        (echo.cpu()? - busy).as_secs_f64(),
        grown as f64 / 1024.0,
        echo.resident()?.saturating_sub(before) as f64 / 1024.0,
        p99.as_secs_f64() * 1e3,
        waits.len()
    );
    if grown > flood.bound {
        failures.push(format!("a flood of {name} made the resident memory grow by {grown} KiB"));
    }
    if checked && p99 > WAIT {
        failures.push(format!("a flood of {name} made a well-behaved client wait for {p99:?}"));
    }
    Ok((grown, p99))
}

/// Returns the bytes sent by the flooders, and the maximum resident memory meanwhile.
fn pour(echo: &Server, flood: &Flood, bytes: usize) -> Result<(usize, u64)> {
    thread::scope(|scope| {
        let flooder = || send(echo, flood, bytes / flood.flooders).map_err(|error| error.to_string());
        let flooders: Vec<_> = (0..flood.flooders).map(|_| scope.spawn(flooder)).collect();
        let mut most = 0;
        while flooders.iter().any(|flooder| !flooder.is_finished()) {
            most = most.max(echo.resident()?);
            thread::sleep(Duration::from_millis(5));
        }
        // Input that the server has taken and not yet handled shows a moment later.
        for _ in 0..10 {
            most = most.max(echo.resident()?);
            thread::sleep(Duration::from_millis(20));
        }
        let mut sent = 0;
        for flooder in flooders {
            sent += flooder.join().map_err(|_| "a flooder panicked")??;
        }
        Ok((sent, most))
    })
}

/// Sends this many bytes, on a new connection when the server closes one. Stops early when the
/// server takes no more.
fn send(echo: &Server, flood: &Flood, bytes: usize) -> Result<usize> {
    let mut sent = 0;
    loop {
        let mut tcp = echo.connect_with(flood.headers)?;
        tcp.set_write_timeout(Some(Duration::from_secs(2)))?;
        let reader = if flood.reads {
            let mut input = tcp.try_clone()?;
            Some(thread::spawn(move || io::copy(&mut input, &mut io::sink())))
        } else {
            None
        };
        let mut result = tcp.write_all(&flood.first);
        while result.is_ok() && sent < bytes {
            result = tcp.write_all(&flood.repeated);
            sent += flood.repeated.len();
        }
        // The server ends the stream after the last message. Without a reader it may not.
        let _ = tcp.shutdown(if flood.reads { Shutdown::Write } else { Shutdown::Both });
        let _ = reader.map(thread::JoinHandle::join);
        let stopped =
            result.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
        if stopped || sent >= bytes {
            return Ok(sent);
        }
    }
}

/// Sends a message every 5 ms and waits for its echo, at least once. Returns how long each took.
pub(crate) fn well_behaved(tcp: &mut TcpStream, over: &AtomicBool) -> Result<Vec<Duration>> {
    let (sent, mut waits) = (frame(TEXT, b"honest"), Vec::new());
    loop {
        let start = Instant::now();
        tcp.write_all(&sent)?;
        let mut echo = [0; 8];
        tcp.read_exact(&mut echo)?;
        if &echo != b"\x81\x06honest" {
            return Err("the well-behaved client received a wrong echo".into());
        }
        waits.push(start.elapsed());
        if over.load(Ordering::Relaxed) {
            return Ok(waits);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// 300 peers that declare a message of 2 MB, send one byte of it, and stop.
pub(crate) fn declared(path: &str) -> Result<Vec<String>> {
    let echo = Server::start(path, &[])?;
    well_behaved(&mut echo.connect()?, &AtomicBool::new(true))?;
    let before = echo.resident()?;
    let mut peers = Vec::new();
    for _ in 0..300 {
        let mut tcp = echo.connect()?;
        let mut header = vec![BINARY, 0x80 | 127];
        header.extend_from_slice(&(2_000_000_u64).to_be_bytes());
        header.extend_from_slice(&[0, 0, 0, 0, b'x']);
        tcp.write_all(&header)?;
        peers.push(tcp);
    }
    thread::sleep(Duration::from_millis(200));
    well_behaved(&mut echo.connect()?, &AtomicBool::new(true))?;
    let grown = echo.resident()?.saturating_sub(before);
    println!("300 declared messages of 2 MB: {:.1} MB more resident", grown as f64 / 1024.0);
    Ok(if grown > BOUND {
        vec![format!("300 declared messages made the resident memory grow by {grown} KiB")]
    } else {
        Vec::new()
    })
}
