//! A server whose file descriptors are used up: row R15 of the specification.
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use wsx_tests::handshake::{self, accepted};

/// Maximum number of files that the server may have open.
const LIMIT: usize = 64;

struct Server(Child);
impl Drop for Server {
    fn drop(&mut self) {
        // The server may have died already; the test has reported that.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Returns the CPU time so far. Linux counts it in hundredths of a second.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("the server runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).expect("the server runs").count()
    }
}

/// Returns a socket that has sent an upgrade request.
fn ask(address: &str) -> TcpStream {
    handshake::ask(address, "/ws").expect("the kernel's queue has room")
}

/// Checks the answer 101, and the echo of a message.
fn is_served(tcp: &mut TcpStream) {
    accepted(tcp).expect("the answer arrives in time");
    echoes(tcp);
}

fn echoes(tcp: &mut TcpStream) {
    tcp.write_all(b"\x81\x82\0\0\0\0hi").expect("the connection is open");
    let mut echo = [0; 4];
    tcp.read_exact(&mut echo).expect("the echo arrives in time");
    assert_eq!(&echo, b"\x81\x02hi");
}

/// Row R15: accepting pauses and resumes. Accepted connections are served meanwhile, and the server
/// does not spin.
#[test]
fn without_a_descriptor_left_accepting_pauses_and_resumes() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_subject"))
        .args(["--listen", "127.0.0.1:0", "--open-files", &LIMIT.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo builds it for this test");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let server = Server(child);
    let address = line.trim().strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix("/ws"));
    let address = address.expect("an address");

    // The first half is accepted for certain. `LIMIT` more fill the server, however many files it
    // needs itself.
    let mut first: Vec<_> = (0..LIMIT / 2).map(|_| ask(address)).collect();
    first.iter_mut().for_each(is_served);
    let queued: Vec<_> = (0..LIMIT).map(|_| ask(address)).collect();
    let start = Instant::now();
    while server.descriptors() < LIMIT {
        assert!(start.elapsed() < Duration::from_secs(20), "{} of {LIMIT} descriptors", server.descriptors());
        std::thread::sleep(Duration::from_millis(10));
    }

    let busy = server.cpu();
    std::thread::sleep(Duration::from_secs(2));
    let busy = server.cpu() - busy;
    // Accepting is tried about forty times; a loop that spins takes the whole two seconds.
    assert!(busy < Duration::from_millis(500), "{busy:?} of CPU within 2 s while accepting was impossible");
    first.iter_mut().for_each(echoes);

    // Every waiting connection is served as files are closed, including the last one.
    let waiting = queued.len();
    let mut served = 0;
    for (mut tcp, leaving) in queued.into_iter().zip(first.into_iter().map(Some).chain(std::iter::repeat_with(|| None)))
    {
        drop(leaving);
        is_served(&mut tcp);
        served += 1;
    }
    assert_eq!(served, waiting);
}
