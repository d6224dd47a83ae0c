//! A server in a process of its own: its resources, and its control lines. Dropping the value kills
//! it.
use crate::{Result, wire};
use nix::{
    libc::linger,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt},
    },
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddrV4, TcpStream},
    os::fd::AsRawFd,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// Time limit for an answer.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddrV4,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Buffers of a peer's socket, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Small {
    pub(crate) buffer: usize,
    pub(crate) segment: u32,
}

impl Server {
    pub(crate) fn start(path: &str, arguments: &[&str]) -> Result<Self> {
        let mut process = Command::new(path)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{path}: {error}"))?;
        let input = process.stdin.take().ok_or("no input")?;
        let mut output = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix("/ws"));
        let address = address.ok_or("the first line has no address")?.parse()?;
        Ok(Self { process, address, input, output })
    }

    /// Writes a line, and reads the answer.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.input, "{line}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// Asks for a number.
    pub(crate) fn count(&mut self, of: &str) -> Result<usize> {
        Ok(self.ask(of)?.parse()?)
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn resident(&self) -> Result<u64> {
        // Counted page by page; `status` can be off by some pages for each core.
        self.memory("smaps_rollup", "Rss:")
    }

    /// Returns the maximum resident memory so far, in KiB.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.memory("status", "VmHWM:")
    }

    fn memory(&self, file: &str, key: &str) -> Result<u64> {
        let text = fs::read_to_string(self.proc(file))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)).ok_or("no memory: has the server died?")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Returns the number of open file descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(self.proc("fd"))?.count())
    }

    /// Returns the CPU time so far, in the kernel and outside. Linux counts it in hundredths of a
    /// second.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(self.proc("stat"))?;
        // The second field is the program's name, which may contain anything.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok(Duration::from_millis(ticks.sum::<std::result::Result<u64, _>>()? * 10))
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.id())
    }

    /// Returns a socket after its handshake.
    pub(crate) fn connect(&self) -> Result<TcpStream> {
        self.connect_with("")
    }

    /// As [`connect`](Self::connect), with further headers, each with its line end.
    pub(crate) fn connect_with(&self, headers: &str) -> Result<TcpStream> {
        let tcp = TcpStream::connect(self.address)?;
        wire::open_with(tcp, headers)
    }

    /// Returns a raw socket from the loopback address with this last number.
    pub(crate) fn dial(&self, from: u8, small: Option<Small>) -> Result<TcpStream> {
        let tcp = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        if let Some(Small { buffer, segment }) = small {
            socket::setsockopt(&tcp, sockopt::RcvBuf, &buffer)?;
            socket::setsockopt(&tcp, sockopt::TcpMaxSeg, &segment)?;
        }
        socket::bind(tcp.as_raw_fd(), &SockaddrIn::new(127, 0, 0, from, 0))?;
        socket::connect(tcp.as_raw_fd(), &SockaddrIn::from(self.address))?;
        Ok(tcp.into())
    }

    /// Waits until the answer is this number. Returns the last answer if it never is.
    pub(crate) fn settle(&mut self, of: &str, expected: usize) -> Result<usize> {
        let start = Instant::now();
        loop {
            let found = self.count(of)?;
            if found == expected || start.elapsed() > TIME_LIMIT {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server may have died already; the next measurement has reported that.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Raises the limit of open files to its maximum, for this process and those that it starts.
pub(crate) fn raise_open_files() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(())
}

/// Sets the size of the socket's send buffer.
pub(crate) fn set_send_buffer(tcp: &TcpStream, buffer: usize) -> Result<()> {
    Ok(socket::setsockopt(tcp, sockopt::SndBuf, &buffer)?)
}

/// Closes a socket with a reset.
pub(crate) fn reset(tcp: TcpStream) -> Result<()> {
    socket::setsockopt(&tcp, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    drop(tcp);
    Ok(())
}

/// Reads up to the peer's FIN. A reset is an error.
pub(crate) fn drain(tcp: &mut TcpStream) -> Result<()> {
    tcp.read_to_end(&mut Vec::new())?;
    Ok(())
}
