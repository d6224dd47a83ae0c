//! A hostile peer against the example `echo`, in a process of its own so that its memory can be told: what it may cost, and
//! what it is told. Row R5 of the specification.
//!
//! ```text
//! cargo build --release -p wsx-examples --bin echo
//! cargo run --release -p wsx-tests --bin abuse -- --echo target/release/echo --megabytes 200 --tries 1000
//! ```
//!
//! `tests/run.sh` runs a short form, `tests/long.sh` the whole one. It fails when memory grows beyond its bound or a close
//! code is wrong; how long an honest client waited meanwhile is printed and not judged, since machines differ.
use std::{
    error::Error,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What one flood may cost the server, in KiB.
const BOUND: u64 = 16 * 1024;
/// No answer within this is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Opcodes, with the FIN bit where the message ends.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const FIRST_FRAGMENT: u8 = 0x01;
const FRAGMENT: u8 = 0x00;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let echo = value("--echo").ok_or("usage: --echo PATH [--megabytes N] [--tries N]")?;
    let megabytes = value("--megabytes").map_or(Ok(200), |text| text.parse())?;
    let tries = value("--tries").map_or(Ok(1000), |text| text.parse())?;
    let mut failures = floods(echo, megabytes << 20)?;
    failures.extend(declared(echo)?);
    failures.extend(close_codes(echo, tries)?);
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

/// The server, which ends with this value.
struct Echo {
    process: Child,
    address: String,
}

impl Echo {
    fn start(path: &str) -> Result<Self> {
        let mut process = Command::new(path).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix("/ws"));
        let address = address.ok_or("the first line names no address")?.to_owned();
        Ok(Self { process, address })
    }

    /// Resident memory in KiB.
    fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS: has it died?")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    fn connect(&self) -> Result<TcpStream> {
        let mut tcp = TcpStream::connect(&self.address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        tcp.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if head.starts_with(b"HTTP/1.1 101 ") { Ok(tcp) } else { Err(String::from_utf8_lossy(&head).into()) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have died already, which the next look at its memory has told.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client's frame, under a mask of zeroes, which leaves the payload as it is.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A flood's name, what comes first, what is repeated, and whether the flooder reads what comes back.
type Flood = (&'static str, Vec<u8>, Vec<u8>, bool);

fn kinds() -> Vec<Flood> {
    let few = |bytes: &[u8]| bytes.repeat((64 << 10) / bytes.len().max(1) + 1);
    vec![
        ("pings, nothing read", Vec::new(), few(&frame(PING, &[b'x'; 125])), false),
        ("pings", Vec::new(), few(&frame(PING, &[b'x'; 125])), true),
        ("pongs", Vec::new(), few(&frame(PONG, &[b'x'; 125])), false),
        ("text", Vec::new(), few(&frame(TEXT, &[b'x'; 125])), true),
        ("text, nothing read", Vec::new(), few(&frame(TEXT, &[b'x'; 125])), false),
        ("64 KB", Vec::new(), frame(BINARY, &[b'x'; 64 << 10]), true),
        ("one-byte fragments", frame(FIRST_FRAGMENT, b"x"), few(&frame(FRAGMENT, b"x")), true),
        ("empty fragments", frame(FIRST_FRAGMENT, b""), few(&frame(FRAGMENT, b"")), true),
    ]
}

/// Each flood with an honest client beside it.
fn floods(path: &str, bytes: usize) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    for (name, first, repeated, reads) in kinds() {
        let echo = Echo::start(path)?;
        // Warm: what the first message makes is not the flood's.
        honest(&mut echo.connect()?, &AtomicBool::new(true))?;
        let before = echo.resident()?;
        let over = Arc::new(AtomicBool::new(false));
        let (mut client, seen) = (echo.connect()?, over.clone());
        let client = thread::spawn(move || honest(&mut client, &seen).map_err(|error| error.to_string()));
        let (sent, most) = flood(&echo, &first, &repeated, reads, bytes)?;
        over.store(true, Ordering::Relaxed);
        let mut waits = client.join().map_err(|_| "the honest client panicked")??;
        waits.sort_unstable();
        let p99 = waits[waits.len() * 99 / 100];
        let grown = most.saturating_sub(before);
        println!(
            "{name}: {} MB sent, {:.1} MB more resident; an honest client's p99 {:.1} ms of {}",
            sent >> 20,
            grown as f64 / 1024.0,
            p99.as_secs_f64() * 1e3,
            waits.len()
        );
        if grown > BOUND {
            failures.push(format!("a flood of {name} made {grown} KiB resident"));
        }
    }
    Ok(failures)
}

/// Sends until it has sent so much or is cut off; how much it was, and the most that was resident meanwhile.
fn flood(echo: &Echo, first: &[u8], repeated: &[u8], reads: bool, bytes: usize) -> Result<(usize, u64)> {
    let mut tcp = echo.connect()?;
    if reads {
        let mut input = tcp.try_clone()?;
        thread::spawn(move || io::copy(&mut input, &mut io::sink()));
    }
    let (mut sent, mut most) = (0, 0);
    let cut = tcp.write_all(first).is_err();
    while !cut && sent < bytes {
        if tcp.write_all(repeated).is_err() {
            break;
        }
        sent += repeated.len();
        if sent % (1 << 20) < repeated.len() {
            most = most.max(echo.resident()?);
        }
    }
    // What the server has taken and not worked off shows a moment later.
    for _ in 0..10 {
        most = most.max(echo.resident()?);
        thread::sleep(Duration::from_millis(20));
    }
    let _ = tcp.shutdown(Shutdown::Both);
    Ok((sent, most))
}

/// Says something every 5 ms and waits for its echo, at least once; how long each took.
fn honest(tcp: &mut TcpStream, over: &AtomicBool) -> Result<Vec<Duration>> {
    let (sent, mut waits) = (frame(TEXT, b"honest"), Vec::new());
    loop {
        let start = Instant::now();
        tcp.write_all(&sent)?;
        let mut echo = [0; 8];
        tcp.read_exact(&mut echo)?;
        if &echo != b"\x81\x06honest" {
            return Err("an honest client got something else back".into());
        }
        waits.push(start.elapsed());
        if over.load(Ordering::Relaxed) {
            return Ok(waits);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// 300 peers that declare a message of 2 MB, send a byte of it, and no more.
fn declared(path: &str) -> Result<Vec<String>> {
    let echo = Echo::start(path)?;
    honest(&mut echo.connect()?, &AtomicBool::new(true))?;
    let before = echo.resident()?;
    let mut peers = Vec::new();
    for _ in 0..300 {
        let mut tcp = echo.connect()?;
        let mut head = vec![BINARY, 0x80 | 127];
        head.extend_from_slice(&(2_000_000_u64).to_be_bytes());
        head.extend_from_slice(&[0, 0, 0, 0, b'x']);
        tcp.write_all(&head)?;
        peers.push(tcp);
    }
    thread::sleep(Duration::from_millis(200));
    honest(&mut echo.connect()?, &AtomicBool::new(true))?;
    let grown = echo.resident()?.saturating_sub(before);
    println!("300 declared messages of 2 MB: {:.1} MB more resident", grown as f64 / 1024.0);
    Ok(if grown > BOUND { vec![format!("300 declared messages made {grown} KiB resident")] } else { Vec::new() })
}

/// What is refused, with the code that its sender is told (RFC 6455 section 7.4.1).
fn refused() -> Vec<(&'static str, Vec<u8>, u16)> {
    let too_long = {
        let mut head = vec![BINARY, 0x80 | 127];
        head.extend_from_slice(&(3_u64 << 20).to_be_bytes());
        head.extend_from_slice(&[0; 4]);
        head
    };
    vec![
        ("a reserved bit", frame(TEXT | 0x40, b"x"), 1002),
        ("an unknown opcode", frame(0x83, b"x"), 1002),
        ("a fragment of nothing", frame(FRAGMENT | 0x80, b"x"), 1002),
        ("a frame without a mask", vec![TEXT, 1, b'x'], 1002),
        ("a long ping", frame(PING, &[b'x'; 126]), 1002),
        ("text that is no UTF-8", frame(TEXT, b"\xff\xfe"), 1007),
        ("a message over the limit", too_long, 1009),
        ("a close with a bad code", frame(CLOSE, &999_u16.to_be_bytes()), 1002),
        ("an honest close", frame(CLOSE, &1000_u16.to_be_bytes()), 1000),
    ]
}

/// Each refusal so many times, with and without input that the server never reads.
fn close_codes(path: &str, tries: usize) -> Result<Vec<String>> {
    let echo = Echo::start(path)?;
    let mut failures = Vec::new();
    for (name, bytes, expected) in refused() {
        let mut wrong = 0;
        for attempt in 0..tries {
            let mut tcp = echo.connect()?;
            let mut sent = bytes.clone();
            if attempt % 2 == 1 {
                // Behind what is refused, so that it stays unread: a socket that is just dropped would reset.
                sent.extend_from_slice(&frame(TEXT, &[b'x'; 60_000]));
            }
            let told = tcp.write_all(&sent).map_err(Into::into).and_then(|()| told(&mut tcp));
            wrong += usize::from(!matches!(told, Ok(code) if code == expected));
        }
        println!("{name}: {} of {tries} were told {expected}", tries - wrong);
        if wrong > 0 {
            failures.push(format!("{name}: {wrong} of {tries} were not told {expected}"));
        }
    }
    Ok(failures)
}

/// The code of the close frame that comes, and then the end, without a reset.
fn told(tcp: &mut TcpStream) -> Result<u16> {
    let mut head = [0; 2];
    tcp.read_exact(&mut head)?;
    if head[0] != CLOSE || head[1] < 2 {
        return Err("something else than a close frame with a code".into());
    }
    let mut payload = vec![0; usize::from(head[1])];
    tcp.read_exact(&mut payload)?;
    // Answered as section 5.5.1 has it; the server closes first.
    let _ = tcp.write_all(&frame(CLOSE, &payload[..2]));
    let mut rest = Vec::new();
    tcp.read_to_end(&mut rest)?;
    Ok(u16::from_be_bytes([payload[0], payload[1]]))
}
