//! The graceful end of a hub: every connection closes with 1001, and the program learns of each.
use crate::{
    connection::handle::Handle,
    server::hub::{Hub, Lifecycle},
    wire::close_code::CloseCode,
};
use std::time::Duration;
use tokio::{task::yield_now, time::timeout};

/// A shutdown closes this many connections, then other work has a turn. Each close wakes a task that writes its queue. All
/// at once would keep a runtime of one thread from everything else, and overflow tokio's local queues. Batches this small
/// cost no time in all.
const BATCH: usize = 8;
/// How long a shutdown waits for handshakes in progress. They are rejected at once, and a rejection takes at most a second.
const HANDSHAKES: Duration = Duration::from_secs(2);
/// Grace period for `__close__` handlers of connections that were cut off.
const CLOSE_HANDLERS: Duration = Duration::from_secs(1);

/// Closes all connections, and returns how many were still open when `grace` expired.
pub(super) async fn run<E>(hub: &Hub<E>, grace: Duration) -> usize {
    let Lifecycle { tasks, handshakes, kill, .. } = hub.lifecycle();
    tasks.close();
    handshakes.close();
    let graceful = async {
        for batch in hub.registry().connections().chunks(BATCH) {
            batch.iter().for_each(close);
            yield_now().await;
        }
        // A handshake whose future is held but not polled must not hold up the rest.
        let _ = timeout(HANDSHAKES, handshakes.wait()).await;
        tasks.wait().await;
    };
    if timeout(grace, graceful).await.is_ok() {
        return 0;
    }
    let open = tasks.len();
    kill.cancel();
    // The connections for which the grace period was too short.
    hub.registry().connections().iter().for_each(close);
    let _ = timeout(CLOSE_HANDLERS, tasks.wait()).await;
    open
}

fn close(conn: &Handle) {
    conn.close_draining(CloseCode::GOING_AWAY, "the server is going away");
}
