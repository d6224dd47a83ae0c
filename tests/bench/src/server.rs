//! A server process: starts it on its core, reads its CPU time and memory, and kills it.
use crate::{
    machine::{self, CpuTime},
    peers::Start,
};
use std::{
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddrV4},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Node takes a tenth of a second to start; a busy machine takes longer.
const START: Duration = Duration::from_secs(10);

/// Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddrV4,
}

impl Server {
    /// Starts a server on a core, and waits until it listens. The calling thread is on `back`
    /// afterwards.
    pub(crate) fn start(start: &Start, core: usize, back: usize) -> io::Result<Self> {
        // A child inherits the core of its parent, so the server has one core from its first
        // instruction.
        machine::pin(core)?;
        let child = Command::new(&start.program)
            .args(&start.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        machine::pin(back)?;
        let mut server = Self { child: child?, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0) };
        let port = server.read_port()?;
        server.address.set_port(port);
        Ok(server)
    }

    fn read_port(&mut self) -> io::Result<u16> {
        let stdout = self.child.stdout.take().ok_or_else(|| io::Error::other("the server has no standard output"))?;
        let (sender, port) = mpsc::channel();
        // A thread can be abandoned; a read cannot.
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = port
            .recv_timeout(START)
            .map_err(|_| io::Error::other(format!("the server printed no port within {START:?}")))?;
        line.trim().parse().map_err(|_| io::Error::other(format!("the server's port is {line:?}")))
    }

    pub(crate) fn cpu_time(&self) -> io::Result<CpuTime> {
        CpuTime::of(self.child.id())
    }

    pub(crate) fn resident_kb(&self) -> io::Result<u64> {
        machine::resident_kb(self.child.id())
    }

    /// Returns the memory once it is stable: waits for a while until a handshake or a collector has
    /// freed its memory.
    pub(crate) fn resident_kb_at_rest(&self) -> io::Result<u64> {
        let mut last = self.resident_kb()?;
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(20));
            let now = self.resident_kb()?;
            if now.abs_diff(last) <= last / 1000 {
                return Ok(now);
            }
            last = now;
        }
        Ok(last)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
