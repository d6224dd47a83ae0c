//! The servers that are compared: their names, how each is started, and what is missing when one
//! cannot start.
mod axum;
mod everyone;
mod fastwebsockets;
mod messages;
mod tokio_websockets;
mod tungstenite;
mod work;
mod wsx;

use clap::ValueEnum;
use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{self, Command, Output},
    thread,
};
use tokio::net::TcpListener;

/// A server to measure.
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
}

impl Peer {
    pub(crate) const ALL: [Self; 8] = [
        Self::Wsx,
        Self::Gorilla,
        Self::Tungstenite,
        Self::TungsteniteTuned,
        Self::Fastwebsockets,
        Self::TokioWebsockets,
        Self::Axum,
        Self::Ws,
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
        }
    }

    /// Returns how to start the server, after building what has to be built.
    pub(crate) fn prepare(self) -> Result<Start, Missing> {
        match self {
            Self::Gorilla => gorilla(),
            Self::Ws => ws(),
            _ => {
                let program =
                    env::current_exe().map_err(|error| Missing(format!("this program's own path: {error}")))?;
                Ok(Start { program, arguments: vec!["serve".into(), self.name().into()] })
            }
        }
    }
}

/// The command line of a server. The server prints its port, and exits when its standard input
/// ends.
#[derive(Debug, Clone)]
pub(crate) struct Start {
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
    let program = target.join("gorilla");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(home().join("peers/gorilla.go"))
        // As Debian's packages require: no modules, nothing from the network.
        .envs([("GO111MODULE", "off"), ("GOPATH", GO_PATH), ("GOFLAGS", "")])
        .env("GOCACHE", target.join("go-cache"))
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !built.status.success() {
        return Err(failed(String::from_utf8_lossy(&built.stderr).into_owned()));
    }
    Ok(Start { program, arguments: Vec::new() })
}

fn ws() -> Result<Start, Missing> {
    if run("node", &["--version"]).is_err() {
        return Err(Missing(format!("there is no Node.js (Debian package nodejs; {INSTALL})")));
    }
    if !home().join("../interop/node_modules/ws").is_dir() {
        return Err(Missing(format!("there is no ws (npm package ws in tests/interop; {INSTALL})")));
    }
    let script = home().join("peers/ws.mjs").to_string_lossy().into_owned();
    Ok(Start { program: "node".into(), arguments: vec![script] })
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
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?.port())?;
    stdout.flush()?;
    // On the worker, like the connections. This function is on the main thread, and a switch
    // between the two for each connection would cost more than accepting it.
    let server = match peer {
        Peer::Wsx => tokio::spawn(wsx::serve(listener)),
        Peer::Tungstenite => tokio::spawn(tungstenite::serve(listener)),
        Peer::TungsteniteTuned => tokio::spawn(tungstenite::serve_tuned(listener)),
        Peer::Fastwebsockets => tokio::spawn(fastwebsockets::serve(listener)),
        Peer::TokioWebsockets => tokio::spawn(tokio_websockets::serve(listener)),
        Peer::Axum => tokio::spawn(axum::serve(listener)),
        Peer::Gorilla | Peer::Ws => return Err(io::Error::other(format!("{} is not a Rust program", peer.name()))),
    };
    server.await?;
    Err(io::Error::other("the server stopped by itself"))
}
