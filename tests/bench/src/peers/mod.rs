//! The peers that are compared: their names, how each is started, and what is missing when one
//! cannot start.
mod axum;
mod everyone;
mod fastwebsockets;
mod messages;
mod requests;
mod tokio_websockets;
mod tungstenite;
mod work;
mod wsx;

use crate::{client::Requests, workload::Workload};
use clap::ValueEnum;
use std::{
    env,
    error::Error,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{self, Command, Output},
    thread,
};
use tokio::net::TcpListener;

/// A server to measure; a peer for requests has a client too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Peer {
    Wsx,
    Gorilla,
    Tungstenite,
    TungsteniteTuned,
    Fastwebsockets,
    TokioWebsockets,
    Axum,
    Ws,
    WsxRequest,
    WsxByHand,
    Jsonrpsee,
    TarpcJson,
    TarpcBincode,
    #[value(name = "socket.io")]
    SocketIo,
}

impl Peer {
    pub(crate) const ALL: [Self; 14] = [
        Self::Wsx,
        Self::Gorilla,
        Self::Tungstenite,
        Self::TungsteniteTuned,
        Self::Fastwebsockets,
        Self::TokioWebsockets,
        Self::Axum,
        Self::Ws,
        Self::WsxRequest,
        Self::WsxByHand,
        Self::Jsonrpsee,
        Self::TarpcJson,
        Self::TarpcBincode,
        Self::SocketIo,
    ];

    /// Returns the name on the command line, in JSON and in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wsx => "wsx",
            Self::Gorilla => "gorilla",
            Self::Tungstenite => "tungstenite",
            Self::TungsteniteTuned => "tungstenite-tuned",
            Self::Fastwebsockets => "fastwebsockets",
            Self::TokioWebsockets => "tokio-websockets",
            Self::Axum => "axum",
            Self::Ws => "ws",
            Self::WsxRequest => "wsx-request",
            Self::WsxByHand => "wsx-by-hand",
            Self::Jsonrpsee => "jsonrpsee",
            Self::TarpcJson => "tarpc-json",
            Self::TarpcBincode => "tarpc-bincode",
            Self::SocketIo => "socket.io",
        }
    }

    /// Whether the peer runs this workload: either all requests, or all others.
    pub(crate) fn runs(self, workload: &Workload) -> bool {
        self.asks() == workload.is_requests()
    }

    /// Whether the peer has a client of its own, for requests.
    fn asks(self) -> bool {
        match self {
            Self::Wsx
            | Self::Gorilla
            | Self::Tungstenite
            | Self::TungsteniteTuned
            | Self::Fastwebsockets
            | Self::TokioWebsockets
            | Self::Axum
            | Self::Ws => false,
            Self::WsxRequest
            | Self::WsxByHand
            | Self::Jsonrpsee
            | Self::TarpcJson
            | Self::TarpcBincode
            | Self::SocketIo => true,
        }
    }

    /// Returns how to start the peer, after building what has to be built.
    pub(crate) fn prepare(self) -> Result<Start, Missing> {
        match self {
            Self::Gorilla => gorilla(),
            Self::Ws => ws(),
            Self::SocketIo => socket_io(),
            _ => {
                let program =
                    env::current_exe().map_err(|error| Missing(format!("this program's own path: {error}")))?;
                let command = |command: &str| CommandLine {
                    program: program.clone(),
                    arguments: vec![command.into(), self.name().into()],
                };
                Ok(Start { server: command("serve"), client: self.asks().then(|| command("ask")) })
            }
        }
    }
}

/// How to start a peer.
#[derive(Debug)]
pub(crate) struct Start {
    /// The server prints its port, and exits when its standard input ends.
    pub(crate) server: CommandLine,
    /// The client of a peer for requests, without the arguments of [`Requests`].
    pub(crate) client: Option<CommandLine>,
}

#[derive(Debug, Clone)]
pub(crate) struct CommandLine {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

/// Why a peer cannot run on this machine, and what to install.
#[derive(Debug, Clone)]
pub(crate) struct Missing(pub(crate) String);

/// Returns the directory of this package.
pub(crate) fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const INSTALL: &str = "tests/bench/install.sh installs it";
/// The folder of Debian's packages of Go sources.
const GO_PATH: &str = "/usr/share/gocode";

fn gorilla() -> Result<Start, Missing> {
    Ok(Start { server: go("gorilla")?, client: None })
}

/// Builds a Go program of the folder `peers`, and returns its command line.
pub(crate) fn go(name: &str) -> Result<CommandLine, Missing> {
    if run("go", &["version"]).is_err() {
        return Err(Missing(format!("there is no Go (Debian package golang-go; {INSTALL})")));
    }
    if !Path::new(GO_PATH).join("src/github.com/gorilla/websocket").is_dir() {
        return Err(Missing(format!(
            "there is no gorilla/websocket (Debian package golang-github-gorilla-websocket-dev; {INSTALL})"
        )));
    }
    let failed = |why: String| Missing(format!("go build failed: {why}"));
    // Beside this program, so below cargo's target directory.
    let target = env::current_exe().map_err(|error| failed(error.to_string()))?.with_file_name("wsx-bench-peers");
    let program = target.join(name);
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(home().join("peers").join(name).with_extension("go"))
        // As Debian's packages require: no modules, nothing from the network.
        .envs([("GO111MODULE", "off"), ("GOPATH", GO_PATH), ("GOFLAGS", "")])
        .env("GOCACHE", target.join("go-cache"))
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !built.status.success() {
        return Err(failed(String::from_utf8_lossy(&built.stderr).into_owned()));
    }
    Ok(CommandLine { program, arguments: Vec::new() })
}

fn ws() -> Result<Start, Missing> {
    Ok(Start { server: on_ws("ws.mjs")?, client: None })
}

/// Returns the command line of a script in the folder `peers` that needs npm's ws.
pub(crate) fn on_ws(script: &str) -> Result<CommandLine, Missing> {
    need_node()?;
    if !home().join("../interop/node_modules/ws").is_dir() {
        return Err(Missing(format!("there is no ws (npm package ws in tests/interop; {INSTALL})")));
    }
    Ok(node(script))
}

/// Returns the command line of a script in the folder `peers` that needs Python's websockets.
pub(crate) fn on_websockets(script: &str) -> Result<CommandLine, Missing> {
    python("../interop/.venv", "websockets", script)
}

/// Returns the command line of a script in the folder `peers` that needs Python's socketify, which
/// has uWebSockets in it.
pub(crate) fn on_socketify(script: &str) -> Result<CommandLine, Missing> {
    python(".venv", "socketify", script)
}

/// Returns the command line of a script that needs a package of this environment.
fn python(environment: &str, package: &str, script: &str) -> Result<CommandLine, Missing> {
    let program = home().join(environment).join("bin/python");
    if !program.is_file() {
        return Err(Missing(format!("there is no {package} (a Python package; {INSTALL})")));
    }
    let script = home().join("peers").join(script).to_string_lossy().into_owned();
    Ok(CommandLine { program, arguments: vec![script] })
}

fn socket_io() -> Result<Start, Missing> {
    Ok(Start { server: on_socket_io("socketio.mjs")?, client: Some(on_socket_io("socketio-client.mjs")?) })
}

/// Returns the command line of a script in the folder `peers` that needs npm's socket.io, its
/// client, or its adapter for Redis.
pub(crate) fn on_socket_io(script: &str) -> Result<CommandLine, Missing> {
    need_node()?;
    let needed = ["socket.io", "socket.io-client", "@socket.io/redis-adapter", "redis"];
    if !needed.iter().all(|package| home().join("node_modules").join(package).is_dir()) {
        return Err(Missing(format!("there is no socket.io (npm package socket.io in tests/bench; {INSTALL})")));
    }
    Ok(node(script))
}

/// Returns the command line of the node of socketioxide, a package of its own.
pub(crate) fn socketioxide() -> Result<CommandLine, Missing> {
    let program = home().join("../../target/bench-socketioxide/release/wsx-bench-socketioxide");
    if !program.is_file() {
        return Err(Missing(format!("there is no socketioxide (a package in tests/bench/socketioxide; {INSTALL})")));
    }
    Ok(CommandLine { program, arguments: Vec::new() })
}

fn need_node() -> Result<(), Missing> {
    match run("node", &["--version"]) {
        Ok(_) => Ok(()),
        Err(_) => Err(Missing(format!("there is no Node.js (Debian package nodejs; {INSTALL})"))),
    }
}

/// Returns the command line of a script in the folder `peers`.
fn node(script: &str) -> CommandLine {
    let script = home().join("peers").join(script).to_string_lossy().into_owned();
    CommandLine { program: "node".into(), arguments: vec![script] }
}

/// Returns the output of a program, or an error when there is no such program or it fails.
pub(crate) fn run(program: &str, arguments: &[&str]) -> io::Result<String> {
    let Output { status, stdout, .. } = Command::new(program).args(arguments).output()?;
    if !status.success() {
        return Err(io::Error::other(format!("{program}: {status}")));
    }
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}

/// Runs the server process of a Rust peer: prints its port, and exits when standard input ends, so
/// that a server does not outlive the comparison.
///
/// The runtime is the multi-threaded one, as in most programs. It starts one worker for the one
/// core that the process is pinned to.
#[tokio::main]
pub(crate) async fn serve(peer: Peer) -> io::Result<()> {
    let listener = listen().await?;
    // On the worker, like the connections. This function is on the main thread, and a switch
    // between the two for each connection would cost more than accepting it.
    let server = match peer {
        Peer::Wsx => tokio::spawn(wsx::serve(listener)),
        Peer::Tungstenite => tokio::spawn(tungstenite::serve(listener)),
        Peer::TungsteniteTuned => tokio::spawn(tungstenite::serve_tuned(listener)),
        Peer::Fastwebsockets => tokio::spawn(fastwebsockets::serve(listener)),
        Peer::TokioWebsockets => tokio::spawn(tokio_websockets::serve(listener)),
        Peer::Axum => tokio::spawn(axum::serve(listener)),
        Peer::WsxRequest => tokio::spawn(requests::wsx::serve(listener)),
        Peer::WsxByHand => tokio::spawn(requests::by_hand::serve(listener)),
        Peer::Jsonrpsee => tokio::spawn(requests::jsonrpsee::serve(listener)),
        Peer::TarpcJson => tokio::spawn(requests::tarpc::serve_json(listener)),
        Peer::TarpcBincode => tokio::spawn(requests::tarpc::serve_bincode(listener)),
        Peer::Gorilla | Peer::Ws | Peer::SocketIo => {
            return Err(io::Error::other(format!("{} is not a Rust program", peer.name())));
        }
    };
    server.await?;
    Err(io::Error::other("the server stopped by itself"))
}

/// Returns a listener, after printing its port. The process exits when its standard input ends.
pub(crate) async fn listen() -> io::Result<TcpListener> {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?.port())?;
    stdout.flush()?;
    Ok(listener)
}

/// Runs the client process of a Rust peer: see [`crate::client`].
pub(crate) fn ask(peer: Peer, work: Requests) -> Result<(), Box<dyn Error + Send + Sync>> {
    match peer {
        Peer::WsxRequest => requests::ask(work, requests::wsx::connect),
        Peer::WsxByHand => requests::ask(work, requests::by_hand::connect),
        Peer::Jsonrpsee => requests::ask(work, requests::jsonrpsee::connect),
        Peer::TarpcJson => requests::ask(work, requests::tarpc::connect_json),
        Peer::TarpcBincode => requests::ask(work, requests::tarpc::connect_bincode),
        _ => Err(format!("{} does not have a client in Rust", peer.name()).into()),
    }
}
