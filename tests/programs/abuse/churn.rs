//! Connections that open and close in every way. Afterwards the server must have as much memory and
//! as many tasks and descriptors as before.
use crate::{
    Result,
    server::{Server, drain, reset},
    wire::{self, CLOSE, TEXT, frame, read_frame},
};
use std::{io::Write, net::Shutdown, thread, time::Instant};
use wsx_tests::handshake::upgrade;

/// How much the resident memory may grow, in KiB.
const BOUND: u64 = 5 * 1024;
/// Peers at the same time.
const THREADS: usize = 8;
/// Connections before the first measurement, so that one-time costs are not counted.
const WARM: usize = 2000;

/// How a connection closes.
#[derive(Clone, Copy)]
enum Way {
    /// A message, its echo, and a close frame from each side.
    Closed,
    ServerCloses,
    ServerPanics,
    /// A message, its echo, and a reset.
    Reset,
    /// In the middle of a frame.
    HalfFrame,
    /// In the middle of the request, with a FIN or a reset.
    HalfRequest,
    HalfRequestReset,
    /// With a reset before the answer to the request was read.
    Unanswered,
}
const WAYS: [Way; 8] = [
    Way::Closed,
    Way::ServerCloses,
    Way::ServerPanics,
    Way::Reset,
    Way::HalfFrame,
    Way::HalfRequest,
    Way::HalfRequestReset,
    Way::Unanswered,
];

pub(crate) fn churn(path: &str, connections: usize) -> Result<Vec<String>> {
    let mut server = Server::start(path, &[])?;
    open_and_close(&server, WARM)?;
    server.settle("connections", 0)?;
    let tasks = {
        // The tasks with one connection, less the task of that connection.
        let tcp = server.connect()?;
        let with = server.settle("connections", 1)?;
        let tasks = server.count("tasks")?;
        drop(tcp);
        tasks - with
    };
    server.settle("tasks", tasks)?;
    let (descriptors, before) = (server.descriptors()?, server.resident()?);
    let start = Instant::now();
    open_and_close(&server, connections)?;
    let took = start.elapsed();
    let left = server.settle("connections", 0)?;
    let tasks_after = server.settle("tasks", tasks)?;
    let (descriptors_after, after) = (server.descriptors()?, server.resident()?);
    println!(
        "{connections} connections opened and closed in {:.1} s: {} KiB resident before and {} after, tasks {tasks} and {tasks_after}, \
         descriptors {descriptors} and {descriptors_after}",
        took.as_secs_f64(),
        before,
        after
    );
    let mut failures = Vec::new();
    if after > before + BOUND {
        failures.push(format!("{connections} connections left {} KiB resident", after - before));
    }
    if (left, tasks_after, descriptors_after) != (0, tasks, descriptors) {
        failures.push(format!(
            "{connections} connections left {left} in the hub, {tasks_after} tasks of {tasks}, and {descriptors_after} \
             descriptors of {descriptors}"
        ));
    }
    Ok(failures)
}

fn open_and_close(server: &Server, connections: usize) -> Result<()> {
    thread::scope(|scope| {
        let peers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    for n in (thread..connections).step_by(THREADS) {
                        // Two addresses for each thread: one address has fewer ports than the
                        // connections of a minute.
                        let from = (2 + thread * 2 + n / THREADS % 2) as u8;
                        one_connection(server, from, WAYS[(n / THREADS) % WAYS.len()])
                            .map_err(|error| format!("connection {n}: {error}"))?;
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        for peer in peers {
            peer.join().map_err(|_| "a peer panicked")??;
        }
        Ok(())
    })
}

fn one_connection(server: &Server, from: u8, way: Way) -> Result<()> {
    let mut tcp = server.dial(from, None)?;
    match way {
        Way::HalfRequest | Way::HalfRequestReset => {
            let request = upgrade("/ws", "");
            tcp.write_all(&request.as_bytes()[..request.len() / 2])?;
            if matches!(way, Way::HalfRequestReset) {
                reset(tcp)?;
            }
            return Ok(());
        }
        Way::Unanswered => {
            tcp.write_all(upgrade("/ws", "").as_bytes())?;
            return reset(tcp);
        }
        _ => tcp = wire::open(tcp)?,
    }
    tcp.write_all(&frame(TEXT, b"come"))?;
    if read_frame(&mut tcp)? != (TEXT, b"come".to_vec()) {
        return Err("the echo differs".into());
    }
    match way {
        Way::Reset => return reset(tcp),
        Way::HalfFrame => {
            tcp.write_all(&frame(TEXT, b"and go")[..8])?;
            return Ok(tcp.shutdown(Shutdown::Both)?);
        }
        Way::Closed => tcp.write_all(&frame(CLOSE, &1000_u16.to_be_bytes()))?,
        Way::ServerCloses => tcp.write_all(&frame(TEXT, br#"{"type":"policy"}"#))?,
        _ => tcp.write_all(&frame(TEXT, br#"{"type":"panic"}"#))?,
    }
    let (opcode, payload) = read_frame(&mut tcp)?;
    if opcode != CLOSE {
        return Err("expected a close frame".into());
    }
    if !matches!(way, Way::Closed) {
        tcp.write_all(&frame(CLOSE, &payload[..2]))?;
    }
    drain(&mut tcp)
}
