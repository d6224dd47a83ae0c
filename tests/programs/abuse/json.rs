//! Short JSON that decodes into a long list, or is deeply nested. For both kinds of handlers the
//! cost must be that of the decoded types.
use crate::{
    Result,
    server::Server,
    wire::{TEXT, frame, read_frame},
};
use std::{
    io::Write,
    net::TcpStream,
    sync::{Arc, Barrier},
    thread,
};

/// Zeros in one message of nearly 2 MiB, the default limit.
const ZEROS: usize = (2 << 20) / 2 - 64;
/// Number of brackets in the nested messages.
const DEPTH: usize = 1_000_000;
/// How often all peers send. Memory that one wave leaks exceeds the bound after this many.
const WAVES: usize = 5;
/// Threads of the server.
const THREADS: usize = 2;
/// Memory of a message, and of a decoded list with that many values, in KiB. Both may exist twice
/// while they grow.
const MESSAGE: usize = 2 * 1024;
const LIST: usize = 32 * 1024;

pub(crate) fn amplification(path: &str, peers: usize) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    // Decoded into a list of numbers, and into any JSON.
    for kind in ["numbers", "any"] {
        let server = Server::start(path, &["--workers", &THREADS.to_string()])?;
        count(&mut server.connect()?, kind, "[0]", Some(1))?;
        let before = server.resident()?;
        let mut left = Vec::new();
        for _ in 0..WAVES {
            wave(&server, kind, peers)?;
            left.push(server.resident()?.saturating_sub(before));
        }
        let peak = server.peak()?.saturating_sub(before);
        println!(
            "{peers} x 2 MB of zeros as {kind}: {:.0} MB more resident at most, {:.0} MB afterwards; {:.0} MB after {WAVES} times \
             as many",
            peak as f64 / 1024.0,
            left[0] as f64 / 1024.0,
            left[WAVES - 1] as f64 / 1024.0
        );
        let bound = peers * 2 * MESSAGE + THREADS * 2 * LIST;
        if peak > bound as u64 {
            failures.push(format!(
                "{WAVES} x {peers} x 2 MB of zeros as {kind} made the resident memory grow by {peak} KiB, more than {bound}"
            ));
        }

        // Closed brackets are JSON that fails to decode. Open brackets are not JSON, and are echoed
        // unchanged.
        let mut tcp = server.connect()?;
        let (open_only, whole) = ("[".repeat(DEPTH), format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH)));
        count(&mut tcp, kind, &whole, None)?;
        count(&mut tcp, kind, "[0,0]", Some(2))?;
        let torn = format!(r#"{{"type":"{kind}","data":{open_only}"#);
        tcp.write_all(&frame(TEXT, torn.as_bytes()))?;
        if read_frame(&mut tcp)?.1 != torn.as_bytes() {
            return Err("the echo of text that is not JSON differs".into());
        }
        count(&mut tcp, kind, "[0,0]", Some(2))?;
        println!("{DEPTH} brackets as {kind}: nothing overflows, and the connection stays open");
    }
    Ok(failures)
}

/// All peers send one message of zeros at once.
fn wave(server: &Server, kind: &'static str, size: usize) -> Result<()> {
    let start = Arc::new(Barrier::new(size));
    let mut peers = Vec::new();
    for _ in 0..size {
        let (mut tcp, start) = (server.connect()?, start.clone());
        peers.push(thread::spawn(move || {
            let zeros = format!("[0{}]", ",0".repeat(ZEROS - 1));
            start.wait();
            count(&mut tcp, kind, &zeros, Some(ZEROS)).map_err(|error| error.to_string())
        }));
    }
    for peer in peers {
        peer.join().map_err(|_| "a peer panicked")??;
    }
    Ok(())
}

/// Sends an envelope, and checks the number of elements in the answer. With `None` no answer is
/// expected.
fn count(tcp: &mut TcpStream, kind: &str, data: &str, expected: Option<usize>) -> Result<()> {
    tcp.write_all(&frame(TEXT, format!(r#"{{"type":"{kind}","data":{data}}}"#).as_bytes()))?;
    let Some(expected) = expected else { return Ok(()) };
    let (_, answer) = read_frame(tcp)?;
    let answer = String::from_utf8(answer)?;
    if answer.ends_with(&format!(r#""data":{expected}}}"#)) { Ok(()) } else { Err(answer.into()) }
}
