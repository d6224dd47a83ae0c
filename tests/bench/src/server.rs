//! A server process, which prints its port when it listens.
use crate::{machine::CpuTime, peers::CommandLine, process::Process};
use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    thread,
    time::Duration,
};

/// Node takes a tenth of a second to start; a busy machine takes longer.
const START: Duration = Duration::from_secs(10);

/// Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    pub(crate) address: SocketAddrV4,
}

impl Server {
    /// Starts a server on a core, and waits until it listens. The calling thread is on `back`
    /// afterwards.
    pub(crate) fn start(command: &CommandLine, core: usize, back: usize) -> io::Result<Self> {
        let process = Process::start(command, core, back)?;
        let line = process.line(START)?;
        let port = line.parse().map_err(|_| io::Error::other(format!("the server's port is {line:?}")))?;
        Ok(Self { process, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port) })
    }

    pub(crate) fn cpu_time(&self) -> io::Result<CpuTime> {
        self.process.cpu_time()
    }

    /// Returns the memory once it is stable: waits for a while until a handshake or a collector has
    /// freed its memory.
    pub(crate) fn resident_kb_at_rest(&self) -> io::Result<u64> {
        let mut last = self.process.resident_kb()?;
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(20));
            let now = self.process.resident_kb()?;
            if now.abs_diff(last) <= last / 1000 {
                return Ok(now);
            }
            last = now;
        }
        Ok(last)
    }
}
