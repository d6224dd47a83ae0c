//! What a child says to its parent on standard output, one line each, and what the parent says on
//! its standard input.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::{net::SocketAddr, sync::mpsc::Sender, thread};
use wsx::CancellationToken;

/// A line of a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// It accepts connections at this address.
    Listening(SocketAddr),
    /// Its page is here.
    Page(SocketAddr),
    /// A sentence for people.
    Say(String),
    View(View),
    Asked(Asked),
}

/// The cluster, as a node sees it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct View {
    /// Whether it can reach NATS.
    pub(crate) connected: bool,
    /// The names of the other nodes.
    pub(crate) nodes: Vec<String>,
    /// All boxes of its map, as the hub lists them.
    pub(crate) ids: Vec<String>,
    /// The boxes that are online, as presence lists them.
    pub(crate) online: Vec<String>,
    /// The boxes that are connected to this node, with the samples that it has received from each.
    pub(crate) own: BTreeMap<String, u64>,
    /// Broadcasts of other nodes that are missing here, and its own that did not leave.
    pub(crate) missed: u64,
    pub(crate) dropped: u64,
}

/// Requests to all boxes, wherever they are, which were made at the same time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Time from the first request to the last reply, in milliseconds.
    pub(crate) took: u64,
    pub(crate) answered: u64,
    /// Replies of boxes that another node has.
    pub(crate) elsewhere: u64,
    /// Each failure, in a sentence.
    pub(crate) failed: Vec<String>,
}

/// Says a line to the parent.
pub(crate) fn say(word: &Word) -> io::Result<()> {
    let line = serde_json::to_string(word)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())
}

/// Returns what is cancelled when the parent has ended, or wants this child to end. The lines
/// before that go to `lines`.
pub(crate) fn parent(lines: Sender<String>) -> CancellationToken {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    thread::spawn(move || {
        let _guard = guard;
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            // Nobody may want to know it.
            let _ = lines.send(line);
        }
    });
    ended
}
