//! The graceful shutdown of a hub: every connection is closed with 1001, and its handlers finish.
//! It does not know the handshake.
use crate::{
    connection::handle::Handle,
    server::{hub::Hub, lifecycle::Lifecycle},
    wire::close_code::CloseCode,
};
use std::time::Duration;
use tokio::{task::yield_now, time::timeout};

/// How many connections a shutdown closes before other tasks get a turn.
///
/// Each close wakes a task that writes its queue. Closing all at once would block a runtime of one
/// thread, and overflow the local queues of tokio. Small batches do not make the shutdown longer.
const BATCH: usize = 8;
/// How long a shutdown waits for handshakes in progress. They are rejected at once, and a rejection
/// takes at most a second.
const HANDSHAKES: Duration = Duration::from_secs(2);
/// Grace period for `__close__` handlers of connections that were cut off.
const CLOSE_HANDLERS: Duration = Duration::from_secs(1);

/// Closes all connections. Returns how many were still open when `grace` expired.
pub(super) async fn run<E>(hub: &Hub<E>, grace: Duration) -> usize {
    let Lifecycle { tasks, handshakes, kill, .. } = hub.lifecycle();
    tasks.close();
    handshakes.close();
    let graceful = async {
        for batch in hub.registry().connections().chunks(BATCH) {
            batch.iter().for_each(close);
            yield_now().await;
        }
        // A handshake whose future is not polled must not block the shutdown.
        let _ = timeout(HANDSHAKES, handshakes.wait()).await;
        tasks.wait().await;
    };
    if timeout(grace, graceful).await.is_ok() {
        hub.roster().end();
        hub.program().deliveries.end();
        return 0;
    }
    let open = tasks.len();
    kill.cancel();
    // These are the connections for which the grace period was too short.
    hub.registry().connections().iter().for_each(close);
    let _ = timeout(CLOSE_HANDLERS, tasks.wait()).await;
    hub.roster().end();
    hub.program().deliveries.end();
    open
}

/// Closes a connection with 1001. Messages that are on their way are still handled.
fn close(conn: &Handle) {
    conn.close_draining(CloseCode::GOING_AWAY, "the server is going away");
}
