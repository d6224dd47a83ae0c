//! The NATS server of the cluster. It does not notice the end of this program by itself, so a child
//! keeps it, and ends it with itself.
use crate::cluster::words::{Word, parent, say};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, process, sync::mpsc, thread};
use wsx::{BoxError, CancellationToken};

/// Debian has it here, which is not in everybody's PATH.
const DEBIAN: &str = "/usr/sbin/nats-server";
/// What its log says before its address.
const LISTENING: &str = "Listening for client connections on ";

/// Returns the path of the program.
///
/// # Errors
///
/// A sentence that says how to install it.
pub(crate) fn find() -> Result<PathBuf, BoxError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let name = format!("nats-server{}", env::consts::EXE_SUFFIX);
    let mut places = env::split_paths(&path).map(|folder| folder.join(&name)).chain([DEBIAN.into()]);
    let found = places.find(|place| place.is_file());
    found.ok_or_else(|| {
        "nats-server is missing: install the Debian package nats-server, or put the program into a folder of PATH"
            .into()
    })
}

/// Returns an address of this machine that other programs hardly use. So a node that starts again
/// finds its port free.
pub(crate) fn own_address() -> IpAddr {
    let [_, high, middle, low] = process::id().to_be_bytes();
    // Of the loopback network, other systems have the first address alone.
    if cfg!(target_os = "linux") {
        Ipv4Addr::new(127, 64 | high, middle, low).into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// Runs the server at this address until the parent ends. The system chooses its port.
pub(crate) async fn keep(program: &Path, address: IpAddr) -> Result<(), BoxError> {
    let parent = parent(mpsc::channel().0);
    let mut command = Command::new(program);
    command.args(["-a", &address.to_string(), "-p", "-1"]).stdin(Stdio::null()).stdout(Stdio::null());
    let started = command.stderr(Stdio::piped()).spawn();
    let mut server = started.map_err(|error| format!("{} does not start: {error}", program.display()))?;
    let log = BufReader::new(server.stderr.take().expect("it is piped"));
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let reading = thread::spawn(move || {
        let _guard = guard;
        let mut last = String::new();
        for line in log.lines().map_while(Result::ok) {
            if let Some(address) = line.split_once(LISTENING).and_then(|(_, address)| address.trim().parse().ok()) {
                // The parent may have ended.
                let _ = say(&Word::Listening(address));
            }
            last = line;
        }
        last
    });
    let has_ended = tokio::select! {
        () = parent.cancelled() => false,
        () = ended.cancelled() => true,
    };
    // It may have ended.
    let _ = server.kill();
    server.wait()?;
    let last = reading.join().unwrap_or_default();
    if has_ended { Err(format!("nats-server has ended by itself: {last}").into()) } else { Ok(()) }
}
