//! A cluster of three nodes whose networks, processes and NATS server fail at random, with boxes
//! that send messages that count, and nodes that send, ask and broadcast.
//!
//! ```text
//! cluster_partitions --networks PREFIX [--for SECONDS] [--seed N]
//! ```
//!
//! `tests/scripts/partitions.sh` makes the network namespaces that it needs. The faults come in
//! rounds. Within 30 s after each round, every node knows every other node, and each box exactly
//! once. At the end:
//!
//! - A node has handled each message that the outbox of a box has accepted.
//! - Each request and each send has ended once, at most a second after its deadline. A message that
//!   was reported as not sent has not reached a box. No message has reached a box twice.
//! - A broadcast reaches each box once.
//! - Boxes whose old program is frozen are found at the node to which they have connected since.
//! - The nodes do not have more tasks than at the beginning, nor much more memory.
mod boxes;
mod faults;
mod fleet;
mod messages;
mod network;
mod node;
mod notes;
#[path = "../../programs/store/random.rs"]
mod random;
mod verdict;

use crate::{
    faults::Counts,
    fleet::{BOXES, Fleet, Status, groups, nodes},
    network::{Member, Network},
    random::Random,
    verdict::Verdict,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use wsx_cluster_tests::Failure;

/// The time of faults before the cluster may settle.
const ROUND: Duration = Duration::from_secs(40);
/// The time under load before the memory is measured, and in which nothing is wrong.
const WARM_UP: Duration = Duration::from_secs(5);
/// How much more memory a node may have at the end than any had after the warm-up, in KB.
const MEMORY: usize = 16 << 10;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match act(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("partitions: FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn act(arguments: &[String]) -> Result<(), Failure> {
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let needed = |name: &str| value(name).ok_or_else(|| format!("{name} is missing"));
    match arguments.get(1).map(String::as_str) {
        Some("node") => {
            let notes = needed("--notes")?;
            node::run(needed("--listen")?, needed("--nats")?, notes.as_ref(), needed("--start")?.parse()?).await
        }
        Some("boxes") => {
            boxes::run(boxes::Options {
                urls: needed("--urls")?,
                from: needed("--from")?.parse()?,
                count: needed("--count")?.parse()?,
                notes: needed("--notes")?.as_ref(),
                outboxes: value("--outboxes").map(Path::new),
                start: needed("--start")?.parse()?,
            })
            .await
        }
        _ => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            let time = Duration::from_secs(value("--for").map_or(Ok(600), str::parse)?);
            campaign(needed("--networks")?, time, value("--seed").map_or(Ok(now), str::parse)?)
        }
    }
}

fn campaign(prefix: &str, time: Duration, seed: u64) -> Result<(), Failure> {
    println!("partitions: seed {seed}, {time:?}");
    let folder = std::env::temp_dir().join(format!("wsx-partitions-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let line = run(prefix, time, seed, &folder)
        .map_err(|error| format!("seed {seed}, notes in {}: {error}", folder.display()))?;
    // Only after a success: otherwise the notes are the proof.
    std::fs::remove_dir_all(&folder)?;
    println!("{line}");
    Ok(())
}

fn run(prefix: &str, time: Duration, seed: u64, folder: &Path) -> Result<String, Failure> {
    let said = Instant::now();
    let mut fleet = Fleet::new(Network(prefix.to_owned()), PathBuf::from(folder));
    fleet.start(Member::Nats)?;
    nodes().try_for_each(|node| fleet.start(node))?;
    fleet.settle("the first nodes", 0)?;
    let tasks = idle_tasks(&mut fleet)?;
    groups().try_for_each(|group| fleet.start(group))?;
    fleet.settle("the first boxes", BOXES)?;
    fleet.load(nodes().chain(groups()), true)?;
    thread::sleep(WARM_UP);
    let memory = fleet.statuses()?.iter().map(|status| status.memory).max().unwrap_or(0);

    let (mut random, mut counts, mut slowest, mut faulty) =
        (Random::new(seed, 0), Counts::default(), Duration::ZERO, Duration::ZERO);
    while faulty < time {
        let round = ROUND.min(time - faulty);
        faults::run(&mut fleet, &mut random, round, &mut counts, said)?;
        faulty += round;
        let settled = fleet.settle("after a round", BOXES)?;
        println!("{:7.1} s: settled after {settled:.1?}", said.elapsed().as_secs_f64());
        slowest = slowest.max(settled);
        fleet.set_phase(0)?;
    }

    broadcast(&mut fleet)?;
    drain(&mut fleet)?;
    let most = fleet.statuses()?.iter().map(|status| status.memory).max().unwrap_or(0);
    if most > memory + MEMORY {
        return Err(format!("a node has {most} KB of memory, and {memory} KB after the warm-up").into());
    }
    stand_in(&mut fleet)?;
    groups().for_each(|group| fleet.kill(group));
    fleet.settle("without boxes", 0)?;
    fleet.until("the tasks of the nodes", |fleet| {
        let left = fleet.statuses()?.iter().map(|status| status.tasks).max().unwrap_or(0);
        Ok((left > tasks).then(|| format!("a node has {left} tasks, and {tasks} at the beginning")))
    })?;
    let verdict = Verdict::of(folder)?;
    if let Some(wrong) = verdict.wrong() {
        return Err(wrong.into());
    }
    Ok(format!(
        "partitions: seed {seed}, {} s of faults: {counts}; settled within {:.1} s; {verdict}; memory of a node {:.1} MiB \
         after the warm-up, {:.1} MiB at the end; {tasks} tasks before and after",
        faulty.as_secs(),
        slowest.as_secs_f64(),
        memory as f64 / 1024.0,
        most as f64 / 1024.0,
    ))
}

/// Returns the number of tasks of a node without boxes, once it does not change any more.
fn idle_tasks(fleet: &mut Fleet) -> Result<usize, Failure> {
    let (mut before, mut most) = (Vec::new(), 0);
    fleet.until("the tasks of the first nodes", |fleet| {
        let tasks: Vec<usize> = fleet.statuses()?.iter().map(|status| status.tasks).collect();
        let is_same = tasks == before;
        most = tasks.iter().copied().max().unwrap_or(0);
        before = tasks;
        // Longer than a node waits between two hellos.
        thread::sleep(Duration::from_millis(1100));
        Ok((!is_same).then(|| format!("they still change: {before:?}")))
    })?;
    Ok(most)
}

/// Has each node broadcast once. Each box gets each of them once.
fn broadcast(fleet: &mut Fleet) -> Result<(), Failure> {
    fleet.steady("before the broadcasts", BOXES)?;
    let keys = nodes().map(|node| fleet.ask(node, "broadcast")).collect::<Result<Vec<_>, _>>()?;
    fleet.until("broadcasts", |fleet| {
        let notes = Verdict::of(&fleet.folder)?;
        let arrived: Vec<usize> = keys.iter().map(|key| notes.arrived(key)).collect();
        Ok((arrived != [BOXES; network::NODES]).then(|| format!("{keys:?} have arrived {arrived:?} times")))
    })?;
    Ok(())
}

/// Ends the load, and waits until nothing is on its way any more.
fn drain(fleet: &mut Fleet) -> Result<(), Failure> {
    fleet.load(nodes().chain(groups()), false)?;
    fleet.until("the end of the load", |fleet| {
        for group in groups() {
            let said = fleet.ask(group, "status")?;
            if !said.ends_with(" 0") {
                return Ok(Some(format!("connections and waiting messages of {group} are {said}")));
            }
        }
        let pending: usize = fleet.statuses()?.iter().map(|Status { pending, .. }| pending).sum();
        Ok((pending > 0).then(|| format!("{pending} requests and sends have not ended")))
    })?;
    Ok(())
}

/// Freezes a program with boxes, and starts another one with the same boxes. The old connections
/// stay alive, as the kernel looks after them. So it is the cluster that has to end them.
fn stand_in(fleet: &mut Fleet) -> Result<(), Failure> {
    let group = Member::Boxes(0);
    fleet.pause(group, true)?;
    let frozen = fleet.replace(group)?;
    fleet.settle("with boxes that have replaced frozen ones", BOXES)?;
    drop(frozen);
    fleet.settle("after the end of the frozen boxes", BOXES)?;
    Ok(())
}
