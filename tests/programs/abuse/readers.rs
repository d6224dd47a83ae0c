//! Readers that stop, or nearly stop, under a broadcast. Their memory is bounded, they are closed
//! in time, and healthy clients miss nothing.
use crate::{
    Result,
    server::{Server, Small},
    wire::{self, TEXT, read_frame},
};
use std::{
    collections::HashMap,
    fs,
    io::{BufReader, Read},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

pub(crate) struct Size {
    readers: usize,
    /// Messages each second, of `LENGTH` bytes each.
    rate: usize,
    seconds: usize,
    write_timeout: Duration,
    queue_bytes: usize,
}

pub(crate) const SHORT: Size =
    Size { readers: 200, rate: 1000, seconds: 4, write_timeout: Duration::from_millis(1500), queue_bytes: 64 << 10 };
pub(crate) const WHOLE: Size =
    Size { readers: 1000, rate: 1000, seconds: 20, write_timeout: Duration::from_secs(10), queue_bytes: 4 << 20 };

const HEALTHY: usize = 10;
/// This many of the readers read one byte in each third of the write timeout. That is not progress:
/// the kernel opens the window again only when there is enough room.
const NEARLY: usize = 8;
const LENGTH: usize = 200;
/// Receive buffer and segment size of a reader that stops, small enough to block the server soon.
/// The kernel's send buffer holds several segments, and a segment of the loopback has 64 KB.
const SMALL: Small = Small { buffer: 4096, segment: 536 };
/// Memory of a connection beyond its queue, in bytes: the bytes being written, at most 64 KiB, and
/// its task.
const BEYOND: usize = 80 << 10;
/// How much later than the write timeout a reader may be closed.
const SLACK: Duration = Duration::from_secs(1);

pub(crate) fn stopped(path: &str, size: &Size) -> Result<Vec<String>> {
    let timeout = size.write_timeout.as_millis().to_string();
    let mut server =
        Server::start(path, &["--write-timeout", &timeout, "--queue-bytes", &size.queue_bytes.to_string()])?;
    let messages = size.rate * size.seconds;
    let mut healthy = Vec::new();
    for _ in 0..HEALTHY {
        let tcp = server.connect()?;
        tcp.set_read_timeout(Some(size.write_timeout * 3))?;
        healthy.push(thread::spawn(move || receive_all(tcp, messages).map_err(|error| error.to_string())));
    }
    let mut readers = Vec::new();
    for n in 0..size.readers {
        readers.push(wire::open(server.dial(2 + (n % 8) as u8, Some(SMALL))?)?);
    }
    let expected = size.readers + HEALTHY;
    if server.settle("connections", expected)? != expected {
        return Err("not all readers are connected".into());
    }
    let before = server.resident()?;
    let start = Instant::now();
    server.ask(&format!("broadcast {} {} {LENGTH}", size.rate, size.seconds))?;

    let mut watched: HashMap<u16, Watched> = HashMap::new();
    for reader in &readers {
        watched.insert(reader.local_addr()?.port(), Watched { queued: 0, changed: start, closed: None });
    }
    let (mut most, mut sips) = (before, 0);
    while watched.values().any(|reader| reader.closed.is_none())
        && start.elapsed() < size.write_timeout * 3 + Duration::from_secs(10)
    {
        thread::sleep(Duration::from_millis(50));
        if start.elapsed() > size.write_timeout / 3 * sips {
            sips += 1;
            for reader in readers.iter_mut().take(NEARLY) {
                // The socket is closed, or has bytes left to read.
                let _ = reader.read(&mut [0]);
            }
        }
        most = most.max(server.resident()?);
        read_sockets(server.address.port(), &mut watched)?;
    }
    let mut gaps = Vec::new();
    for client in healthy {
        gaps.push(client.join().map_err(|_| "a healthy client panicked")??);
    }
    let left = server.settle("connections", 0)?;

    let mut failures = Vec::new();
    let open = watched.values().filter(|reader| reader.closed.is_none()).count();
    let latest = watched.values().filter_map(|reader| Some(reader.closed? - reader.changed)).max().unwrap_or_default();
    let (grown, each) = ((most - before) as usize, (most - before) as usize / size.readers);
    let gap = gaps.iter().max().copied().unwrap_or_default();
    println!(
        "{} stopped readers, {NEARLY} of them nearly, {} messages a second for {} s: {:.1} MB more resident ({each} KiB each), closed at most {:.1} s after \
         their last byte (write timeout {:.1} s); {HEALTHY} healthy clients received {messages} in order, with at most \
         {:.1} s between two",
        size.readers,
        size.rate,
        size.seconds,
        grown as f64 / 1024.0,
        latest.as_secs_f64(),
        size.write_timeout.as_secs_f64(),
        gap.as_secs_f64(),
    );
    if open > 0 || latest > size.write_timeout + SLACK {
        failures.push(format!("{open} stopped readers were not closed, the last of the others after {latest:?}"));
    }
    if left > 0 {
        failures.push(format!("{left} connections are still in the hub"));
    }
    if grown > size.readers * (size.queue_bytes + BEYOND) / 1024 {
        failures.push(format!("stopped readers made the resident memory grow by {grown} KiB"));
    }
    drop(readers);
    Ok(failures)
}

/// The kernel's view of the server's connection to a reader.
struct Watched {
    /// Bytes that the server has written and the kernel has not sent.
    queued: u64,
    /// When that last changed.
    changed: Instant,
    closed: Option<Instant>,
}

/// Reads the state of the server's sockets, by the ports of their peers.
fn read_sockets(port: u16, watched: &mut HashMap<u16, Watched>) -> Result<()> {
    let (table, now) = (fs::read_to_string("/proc/net/tcp")?, Instant::now());
    let mut established = HashMap::new();
    for line in table.lines().skip(1) {
        let mut fields = line.split_whitespace().skip(1);
        let (Some(local), Some(remote), Some(state), Some(queues)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err("/proc/net/tcp has another form".into());
        };
        let port_of = |address: &str| u16::from_str_radix(address.rsplit(':').next().unwrap_or_default(), 16);
        if port_of(local)? == port && state == "01" {
            let queued = u64::from_str_radix(queues.split(':').next().unwrap_or_default(), 16)?;
            established.insert(port_of(remote)?, queued);
        }
    }
    for (port, reader) in watched.iter_mut().filter(|(_, reader)| reader.closed.is_none()) {
        match established.get(port) {
            Some(queued) if *queued != reader.queued => (reader.queued, reader.changed) = (*queued, now),
            Some(_) => {}
            None => reader.closed = Some(now),
        }
    }
    Ok(())
}

/// Receives all messages in order, and returns the longest pause between two.
fn receive_all(tcp: TcpStream, messages: usize) -> Result<Duration> {
    let mut tcp = BufReader::new(tcp);
    let (mut gap, mut last) = (Duration::ZERO, None);
    for expected in 0..messages {
        let (opcode, text) = read_frame(&mut tcp).map_err(|error| format!("after {expected} messages: {error}"))?;
        let text = String::from_utf8(text)?;
        if opcode != TEXT || !text.contains(&format!(r#""n":{expected},"#)) {
            return Err(format!("message {expected} is {text}").into());
        }
        let now = Instant::now();
        gap = gap.max(last.map_or(Duration::ZERO, |last| now - last));
        last = Some(now);
    }
    Ok(gap)
}
