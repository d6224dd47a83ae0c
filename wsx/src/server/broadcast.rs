//! A broadcast: one frame for every connection. A connection that is too slow does not delay the
//! others. It does not know messages.
use crate::{
    config::Config,
    connection::{
        handle::Handle,
        queue::{Beyond, PushError, QueueClosed},
        sending::Sending,
    },
    server::registry::Registry,
    wire::close_code::CloseCode,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::time::Duration;
use tokio::{
    task::yield_now,
    time::{Instant, timeout},
};

/// How long a broadcast waits for full queues, in all.
///
/// It slows down a program that broadcasts faster than its healthy peers read. A peer at 10 Mbit/s
/// makes room for a batch of 64 KiB in half of this time. A queue that stays full is behind, and
/// later broadcasts do not wait for it.
const WAIT: Duration = Duration::from_millis(100);

/// Queues the frame for every connection. Returns the number of connections that accepted it.
///
/// ```text
///          full                full for WAIT             full for lag_timeout, or reserve full
///   Room --------> the sender -----------------> behind ---------------------> closed
///    ^               waits |                       |
///    +---------------------+<----------------------+
///            room                half empty
/// ```
pub(super) async fn broadcast(registry: &Registry, frame: Bytes, config: &Config) -> usize {
    let (mut accepted, mut full, mut behind) = (0, Vec::new(), Vec::new());
    registry.for_each(|conn| match conn.try_push(frame.clone()) {
        Ok(()) => accepted += 1,
        Err(PushError::Full) if conn.queue().is_behind() => behind.push(conn.clone()),
        Err(PushError::Full) => full.push(conn.clone()),
        Err(PushError::Closed) => {}
    });
    let limit = config.lag_timeout;
    if !behind.is_empty() {
        let now = Instant::now();
        for conn in behind {
            let result = conn.queue().push_beyond(frame.clone(), now, limit);
            accepted += usize::from(is_accepted(&conn, &result));
        }
        // Without this, a loop of broadcasts on a runtime with one thread would never write.
        yield_now().await;
    }
    if !full.is_empty() {
        let mut waiting: FuturesUnordered<_> = full.iter().map(|conn| Sending::on(conn, Ok(frame.clone()))).collect();
        let _ = timeout(WAIT, async {
            while let Some(done) = waiting.next().await {
                accepted += usize::from(done.is_ok());
            }
        })
        .await;
        let now = Instant::now();
        for sending in waiting {
            if let Some((conn, result)) = sending.push_beyond(now, limit) {
                accepted += usize::from(is_accepted(conn, &result));
            }
        }
    }
    accepted
}

/// Whether a full connection accepted the frame. A connection that is too far behind is closed.
fn is_accepted(conn: &Handle, result: &Result<Beyond, QueueClosed>) -> bool {
    match result {
        Ok(Beyond::Queued) => true,
        Ok(Beyond::TooFar) => {
            conn.close(CloseCode::TRY_AGAIN_LATER, "this connection is too slow for the broadcasts".into());
            false
        }
        Err(QueueClosed) => false,
    }
}
