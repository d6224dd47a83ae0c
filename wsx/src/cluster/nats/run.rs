//! Looks after the connection: dials until it works, notices when it does not any more, and says
//! both to the node.
use super::{
    Shared,
    dial::{Connection, dial},
    link::Link,
    options::{Nats, Server},
    read::{self, Heard},
    write::write,
};
use crate::{catch_panic, cluster::bus::NodeId};
use bytes::Bytes;
use rand::RngExt;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// How often a node sends a probe to itself.
const TICK: Duration = Duration::from_secs(1);

/// Ticks in which nothing at all was heard, after which the connection is lost. They are counted,
/// and not a time, so that a process that slept hears first what came meanwhile.
const SILENT: u32 = 3;

/// Ticks without a probe that came back, while others are heard. A busy server may be late.
const UNPROVED: u32 = 10;

/// The waits between rounds through all servers, from the shortest to the longest.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A link that lasted this long makes the waits short again.
const STABLE: Duration = Duration::from_secs(5);

/// Servers that are tried. A NATS cluster may announce any number.
const SERVERS: usize = 64;

/// Runs until it is dropped.
pub(super) async fn run(options: Nats, node: NodeId, shared: Arc<Shared>) {
    let _ended = Ended(&shared);
    // Nodes with the same URLs begin with different ones.
    let mut turn = rand::rng().random_range(0..options.servers.len());
    let mut announced = Vec::new();
    let (mut failures, mut links, mut said) = (0, 0, None);
    loop {
        let servers = servers(&options, &announced);
        let server = &servers[turn % servers.len()];
        // A panic in the client of NATS must not end the node.
        let dialled = catch_panic::run(Box::pin(dial(&options, server, node, &shared))).await;
        let dialled = dialled.unwrap_or_else(|| Err(format!("the client of NATS panicked while it dialled {server}")));
        let reason = match dialled {
            Ok(mut connection) => {
                links += 1;
                announced = std::mem::take(&mut connection.announced);
                let start = Instant::now();
                let reason = serve(connection, links, server, &shared).await;
                if start.elapsed() >= STABLE {
                    failures = 0;
                }
                said = None;
                reason
            }
            Err(reason) => {
                turn += 1;
                reason
            }
        };
        if said.as_ref() != Some(&reason) {
            shared.events.down(reason.clone());
            said = Some(reason);
        }
        let random = rand::rng().random();
        sleep(wait(failures / servers.len(), random)).await;
        failures += 1;
    }
}

/// The servers of the options, and those that were announced.
fn servers(options: &Nats, announced: &[String]) -> Vec<Server> {
    let mut servers = options.servers.clone();
    for address in announced {
        match servers[0].announced(address) {
            Some(server) if servers.len() < SERVERS && !servers.contains(&server) => servers.push(server),
            _ => {}
        }
    }
    servers
}

/// How long to wait after some rounds that failed. `random` is from 0 to 1.
fn wait(rounds: usize, random: f64) -> Duration {
    let longest = SHORTEST_WAIT.saturating_mul(1 << rounds.min(10)).min(LONGEST_WAIT);
    longest.mul_f64(0.5 + 0.5 * random)
}

/// Runs a link until the connection is lost, and says why.
async fn serve(connection: Connection, number: u64, server: &Server, shared: &Arc<Shared>) -> String {
    let Connection { client, all, own, replies, alarm, max_payload, .. } = connection;
    let (link, queues) = Link::new(number, max_payload, Arc::clone(&shared.subjects));
    let heard = Arc::new(Heard::default());
    let _down = Down(shared);
    // First, because the node asks for it when it hears of it.
    shared.set_link(Some(Arc::clone(&link)));
    shared.events.up(number);
    let mut tasks = JoinSet::new();
    tasks.spawn(read::all(all, Arc::clone(shared), Arc::clone(&link), Arc::clone(&heard)));
    tasks.spawn(read::own(own, Arc::clone(shared), Arc::clone(&link), Arc::clone(&heard)));
    tasks.spawn(read::replies(replies, Arc::clone(&link), Arc::clone(&heard)));
    tasks.spawn(write(client.clone(), queues.published, Arc::clone(&link), true));
    tasks.spawn(write(client.clone(), queues.direct, Arc::clone(&link), false));

    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut messages, mut probes, mut silent, mut unproved) = (0, 0, 0, 0);
    let lost = || match alarm.said() {
        Some(said) => format!("the connection to {server} was lost; the server said {said:?}"),
        None => format!("the connection to {server} was lost"),
    };
    loop {
        tokio::select! {
            () = alarm.lost.cancelled() => return lost(),
            _ = tasks.join_next() => return lost(),
            _ = ticks.tick() => {}
        }
        let (heard_messages, heard_probes) = (heard.messages.load(Relaxed), heard.probes.load(Relaxed));
        silent = if heard_messages == messages { silent + 1 } else { 0 };
        unproved = if heard_probes == probes { unproved + 1 } else { 0 };
        (messages, probes) = (heard_messages, heard_probes);
        if silent > SILENT || unproved > UNPROVED {
            return format!("{server} does not answer any more");
        }
        let probe = client.publish_with_reply(shared.subjects.own.clone(), shared.subjects.probe.clone(), Bytes::new());
        // If async-nats has no room for it, the next tick tries again.
        let _ = timeout(TICK / 2, probe).await;
    }
}

/// Takes the link away when this is dropped.
struct Down<'s>(&'s Shared);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.0.set_link(None) {
            link.end();
        }
    }
}

/// Ends the events when this is dropped.
struct Ended<'s>(&'s Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.events.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row J8: waits grow up to a second and vary.
    #[test]
    fn waits_grow_up_to_a_second_and_vary() {
        let wait = |rounds, random| wait(rounds, random).as_millis();
        assert_eq!([0, 1, 2, 4, 5, 99].map(|rounds| wait(rounds, 1.0)), [50, 100, 200, 800, 1000, 1000]);
        assert_eq!(wait(0, 0.0), 25);
    }

    #[test]
    fn servers_that_are_announced_are_tried_too_up_to_a_number() {
        let options = Nats::connect("tls://a:1,nats://b:2").unwrap();
        let mut announced = vec!["10.0.0.1:4222".to_owned(), "a:1".into(), "not an address".into()];
        let shown =
            |announced: &[String]| servers(&options, announced).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&announced), ["tls://a:1", "nats://b:2", "tls://10.0.0.1:4222"]);
        announced.extend((0..1000).map(|port| format!("c:{port}")));
        assert_eq!(shown(&announced).len(), SERVERS);
    }
}
