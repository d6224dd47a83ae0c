//! The servers that are compared, their brokers, and how a cluster of them is started.
use super::{dialect::Dialect, load::SILENCE};
use crate::{
    load::Fault,
    machine::Cores,
    peers::{self, CommandLine, Missing},
    process::Process,
};
use clap::ValueEnum;
use std::{
    env,
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    path::Path,
    process, thread,
    time::{Duration, Instant},
};

/// The number of nodes of a cluster.
pub(super) const NODES: usize = 3;
/// Time limit for the start of a process.
const START: Duration = Duration::from_secs(30);

/// A server that runs on several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    /// Joined by NATS
    Wsx,
    /// With its adapter for Redis
    Socketioxide,
    /// npm's, with its adapter for Redis
    #[value(name = "socket.io")]
    SocketIo,
    /// The same with the sharded adapter
    #[value(name = "socket.io-sharded")]
    SocketIoSharded,
}

impl Server {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wsx => "wsx",
            Self::Socketioxide => "socketioxide",
            Self::SocketIo => "socket.io",
            Self::SocketIoSharded => "socket.io-sharded",
        }
    }

    pub(super) fn dialect(self) -> Dialect {
        match self {
            Self::Wsx => Dialect::Wsx,
            Self::Socketioxide | Self::SocketIo | Self::SocketIoSharded => Dialect::SocketIo,
        }
    }

    pub(super) fn broker(self) -> Broker {
        match self {
            Self::Wsx => Broker::Nats,
            Self::Socketioxide | Self::SocketIo | Self::SocketIoSharded => Broker::Redis,
        }
    }

    /// Returns how to start a node, without the arguments of a node.
    pub(super) fn prepare(self) -> Result<CommandLine, Missing> {
        self.broker().find()?;
        match self {
            Self::Wsx => {
                let program = env::current_exe().map_err(|error| Missing(format!("this program's path: {error}")))?;
                Ok(CommandLine { program, arguments: vec!["cluster-node".into()] })
            }
            Self::Socketioxide => peers::socketioxide(),
            Self::SocketIo => peers::on_socket_io("cluster.mjs"),
            Self::SocketIoSharded => {
                let mut command = peers::on_socket_io("cluster.mjs")?;
                command.arguments.push("sharded".into());
                Ok(command)
            }
        }
    }
}

/// What joins the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broker {
    Nats,
    Redis,
}

impl Broker {
    /// The program, and Debian's package of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats-server",
            Self::Redis => "redis-server",
        }
    }

    fn find(self) -> Result<CommandLine, Missing> {
        let name = self.name();
        // Not every user has the second folder on the path.
        let found =
            ["/usr/bin", "/usr/sbin"].iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
        let Some(program) = found else {
            return Err(Missing(format!(
                "there is no {name} (Debian package {name}; tests/bench/install.sh installs it)"
            )));
        };
        // So that it does not outlive the comparison. `setpriv` becomes the program.
        let arguments = vec!["--pdeathsig".into(), "KILL".into(), program.to_string_lossy().into_owned()];
        Ok(CommandLine { program: "setpriv".into(), arguments })
    }

    /// Starts the broker. Returns its URL, too.
    fn start(self, host: Ipv4Addr, cores: Cores) -> Result<(Process, String), Fault> {
        let mut command = self.find().map_err(|Missing(why)| Fault(why))?;
        let (scheme, port, arguments) = match self {
            Self::Nats => ("nats", 4222, format!("--addr {host} --port 4222 --log /dev/null")),
            // Nothing is kept on a disk.
            Self::Redis => ("redis", 6379, format!("--bind {host} --port 6379 --appendonly no --save")),
        };
        command.arguments.extend(arguments.split(' ').map(str::to_owned));
        if self == Self::Redis {
            command.arguments.push(String::new());
        }
        let process = Process::start(&command, cores.server, cores.load)?;
        let start = Instant::now();
        while TcpStream::connect((host, port)).is_err() {
            if start.elapsed() > START {
                return Err(Fault(format!("{} does not listen", self.name())));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok((process, format!("{scheme}://{host}:{port}")))
    }
}

/// Returns the loopback address of this process, so that its brokers have their usual ports.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, middle, low)
}

/// A broker and its nodes. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Cluster {
    nodes: Vec<Process>,
    broker: Process,
    /// For WebSocket.
    pub(super) addresses: Vec<SocketAddrV4>,
    /// For the lines to the first node.
    pub(super) lines: SocketAddrV4,
}

impl Cluster {
    pub(super) fn start(server: Server, node: &CommandLine, text: &str, cores: Cores) -> Result<Self, Fault> {
        let host = own_address();
        let (broker, url) = server.broker().start(host, cores)?;
        let mut command = node.clone();
        command.arguments.extend([url, host.to_string(), text.to_owned()]);
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(Process::start(&command, cores.server, cores.load)?);
        }
        let mut addresses = Vec::new();
        let mut lines = Vec::new();
        for node in &nodes {
            let ports = node.line(START)?;
            let parsed = ports.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            let Some((websocket, line)) = parsed else { return Err(Fault(format!("a node has the ports {ports}"))) };
            addresses.push(SocketAddrV4::new(host, websocket));
            lines.push(SocketAddrV4::new(host, line));
        }
        Ok(Self { nodes, broker, addresses, lines: lines[0] })
    }

    /// Returns the CPU time of the nodes and of the broker, once they do not work any more.
    pub(super) fn cpu_time(&self) -> Result<Cpu, Fault> {
        let start = Instant::now();
        let mut before = self.cpu_time_now()?;
        loop {
            thread::sleep(QUIET);
            let now = self.cpu_time_now()?;
            if now.all() - before.all() < QUIET / 20 {
                return Ok(now);
            }
            if start.elapsed() > SILENCE {
                return Err(Fault("the nodes work on, although all messages have arrived".into()));
            }
            before = now;
        }
    }

    fn cpu_time_now(&self) -> Result<Cpu, Fault> {
        let mut nodes = Duration::ZERO;
        for node in &self.nodes {
            nodes += node.cpu_time()?.total;
        }
        Ok(Cpu { nodes, broker: self.broker.cpu_time()?.total })
    }
}

/// While the nodes work less than a twentieth of this time, they are idle.
const QUIET: Duration = Duration::from_millis(20);

/// CPU time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    pub(super) nodes: Duration,
    pub(super) broker: Duration,
}

impl Cpu {
    pub(super) fn all(self) -> Duration {
        self.nodes + self.broker
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self { nodes: self.nodes - earlier.nodes, broker: self.broker - earlier.broker }
    }
}
