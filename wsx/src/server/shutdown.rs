//! The graceful shutdown of a hub: every connection is closed with 1001, and its handlers finish. A
//! node of a cluster closes them one after the other, because the other nodes take them.
//! It does not know the handshake.
use crate::{
    connection::handle::Handle,
    protocol::endpoint::Endpoint,
    server::{hub::Hub, lifecycle::Lifecycle},
    wire::close_code::CloseCode,
};
use std::time::Duration;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};

/// How many connections a shutdown closes before other tasks get a turn.
///
/// Each close wakes a task that writes its queue. Closing all at once would block a runtime of one
/// thread, and overflow the local queues of tokio. Small batches do not make the shutdown longer.
const BATCH: usize = 8;
/// How long a node of a cluster takes to close its connections, or half of the grace period if that
/// is shorter. Too low: the other nodes get all of them at once. Too high: the shutdown takes long.
const MOVE: Duration = Duration::from_secs(5);
/// How long a shutdown waits for handshakes in progress. They are rejected at once, and a rejection
/// takes at most a second.
const HANDSHAKES: Duration = Duration::from_secs(2);
/// Grace period for `__close__` handlers of connections that were cut off.
const CLOSE_HANDLERS: Duration = Duration::from_secs(1);

/// Begins the shutdown, and waits for it. Returns how many connections were still open when `grace`
/// expired.
pub(super) async fn begin<E: Endpoint>(hub: &Hub<E>, grace: Duration) -> usize {
    let Lifecycle { stop, tasks, .. } = hub.lifecycle();
    stop.cancel();
    // In its own task, so that every connection is closed even if this future is dropped.
    let own = hub.clone();
    let ending = tokio::spawn(async move { run(&own, grace).await });
    // This fails only if the runtime ends.
    ending.await.unwrap_or_else(|_| tasks.len())
}

/// Closes all connections. Returns how many were still open when `grace` expired.
pub(super) async fn run<E>(hub: &Hub<E>, grace: Duration) -> usize {
    let Lifecycle { tasks, handshakes, kill, .. } = hub.lifecycle();
    tasks.close();
    handshakes.close();
    let moves = moves(hub);
    let graceful = async {
        let (start, connections) = (Instant::now(), hub.registry().connections());
        let (count, time) = (connections.len(), if moves { (grace / 2).min(MOVE) } else { Duration::ZERO });
        for (at, batch) in connections.chunks(BATCH).enumerate() {
            if moves {
                sleep_until(start + time.mul_f64((at * BATCH) as f64 / count as f64)).await;
            } else {
                yield_now().await;
            }
            batch.iter().for_each(|conn| close(conn, moves));
        }
        // A handshake whose future is not polled must not block the shutdown.
        let _ = timeout(HANDSHAKES, handshakes.wait()).await;
        tasks.wait().await;
    };
    if timeout(grace, graceful).await.is_ok() {
        end(hub).await;
        return 0;
    }
    let open = tasks.len();
    kill.cancel();
    // These are the connections for which the grace period was too short.
    hub.registry().connections().iter().for_each(|conn| close(conn, moves));
    let _ = timeout(CLOSE_HANDLERS, tasks.wait()).await;
    end(hub).await;
    open
}

/// Ends the presence, the kept messages and the node of a hub without connections.
#[cfg_attr(not(feature = "nats"), expect(clippy::unused_async, reason = "a node waits until the others know"))]
async fn end<E>(hub: &Hub<E>) {
    hub.roster().end();
    hub.program().deliveries.end();
    #[cfg(feature = "nats")]
    if let Some(cluster) = hub.joined() {
        cluster.leave().await;
    }
}

/// Whether other nodes take the connections of this hub.
#[cfg(feature = "nats")]
fn moves<E>(hub: &Hub<E>) -> bool {
    hub.joined().is_some_and(|cluster| !cluster.status().nodes.is_empty())
}

/// Without the feature `nats` there are no other nodes.
#[cfg(not(feature = "nats"))]
fn moves<E>(_: &Hub<E>) -> bool {
    false
}

/// Closes a connection with 1001, or with 1012 if another node takes it. Messages that are on their
/// way are still handled.
fn close(conn: &Handle, moves: bool) {
    if moves {
        conn.close_draining(CloseCode::SERVICE_RESTART, "another server takes over");
    } else {
        conn.close_draining(CloseCode::GOING_AWAY, "the server is going away");
    }
}
