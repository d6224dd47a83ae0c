//! A broadcast: one frame for every connection. A connection that is too slow does not delay the
//! others. It does not know messages.
use crate::{
    connection::{
        handle::Handle,
        queue::{Beyond, PushError, QueueClosed},
        sending::Sending,
        target::Counted,
    },
    envelope::{Outbound, frame::Encode as _, kept::KeptMessage},
    error::SendError,
    protocol::endpoint::Endpoint,
    server::{compressed::Variants, hub::Hub, roster::Roster},
    wire::{close_code::CloseCode, role::Role, write::Frame},
};
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    task::yield_now,
    time::{Instant, sleep, timeout},
};

/// How long a broadcast waits for full queues, in all, and then for full reserves.
///
/// It slows down a program that broadcasts faster than its healthy peers read. A peer at 10 Mbit/s
/// makes room for a batch of 64 KiB in half of this time. A queue that stays full is behind, and
/// later broadcasts do not wait for it.
const WAIT: Duration = Duration::from_millis(100);

/// How often a connection without room in its reserve is tried again within [`WAIT`].
const LAST_CHANCES: u32 = 10;

/// Sends a message to every connection, or to those with a label. Returns the number of connections
/// that accepted it.
pub(super) fn send<'h, E: Endpoint, M: Outbound + ?Sized>(
    hub: &'h Hub<E>,
    message: &M,
    label: Option<&'h str>,
) -> BoxFuture<'h, Result<usize, SendError>> {
    if message.policy().is_kept() {
        return keep(hub, KeptMessage::of(message), label);
    }
    let frame = message.encode(Role::Server);
    // Boxed, so that its type does not name the message; `sending` has the reason.
    Box::pin(async move {
        let frame = frame?;
        let message_type = frame.message_type;
        #[cfg(feature = "nats")]
        let later = hub.publish(&frame, label)?;
        let accepted = broadcast(hub, frame, message_type, label).await;
        #[cfg(feature = "nats")]
        if let Some(later) = later {
            later.await;
        }
        Ok(accepted)
    })
}

/// Keeps a message for each connected peer.
fn keep<'h, E: Endpoint>(
    hub: &'h Hub<E>,
    message: Result<KeptMessage, SendError>,
    label: Option<&'h str>,
) -> BoxFuture<'h, Result<usize, SendError>> {
    Box::pin(async move {
        let message = message?;
        let ids = label.map_or_else(|| hub.registry().ids(), |label| hub.roster().labels().ids(label));
        let keep = |id: &String| Sending::kept(Ok(hub.recipient(id)), Ok(message.clone()));
        // All at once, so that they share the syncs of the disk.
        let mut sends: FuturesUnordered<_> = ids.iter().map(keep).collect();
        let (mut accepted, mut failed) = (0, None);
        while let Some(sent) = sends.next().await {
            match sent {
                Ok(()) => accepted += 1,
                Err(error) => failed = Some(error),
            }
        }
        // A full mailbox of one peer is not an error of the others.
        match failed {
            Some(error) if accepted == 0 => Err(error),
            _ => Ok(accepted),
        }
    })
}

/// Queues the frame for every connection, or for those with a label. Returns the number of
/// connections that accepted it.
///
/// ```text
///          full                full for WAIT            full for lag_timeout, or reserve full for WAIT
///   Room --------> the sender -----------------> behind ------------------------------------> closed
///    ^               waits |                       |
///    +---------------------+<----------------------+
///            room                half empty
/// ```
///
/// With a label, only its connections get the frame, and only they cost time. `message_type` is
/// that of the message, also if the frame does not have it.
pub(super) async fn broadcast<E>(hub: &Hub<E>, frame: Frame, message_type: &str, label: Option<&str>) -> usize {
    let counted = Counted::of(&frame);
    let compressed = Variants::of(&frame, hub.config());
    let message = Outgoing { frame: frame.into_bytes(), message_type, counted, compressed };
    let (watched, withholds) = (hub.program().watches_messages(), hub.program().versions.withholds());
    let roster = hub.roster();
    let offered = match (watched, withholds || message.compressed.is_some()) {
        (false, false) => offer::<false, false>(roster, label, &message),
        (true, false) => offer::<true, false>(roster, label, &message),
        (false, true) => offer::<false, true>(roster, label, &message),
        (true, true) => offer::<true, true>(roster, label, &message),
    };
    let Offered { mut accepted, reported, withheld, full, behind } = offered;
    // After the lock of the registry or of the labels is released.
    reported.iter().for_each(|conn| message.report(conn));
    withheld.iter().for_each(|conn| drop(conn.withhold(message_type)));
    let limit = hub.config().lag_timeout;
    let mut late = Vec::new();
    if !behind.is_empty() {
        accepted += push_beyond(behind, &message, limit, &mut late);
        // Without this, a loop of broadcasts on a runtime with one thread would never write.
        yield_now().await;
    }
    if !full.is_empty() {
        let wait = |conn| {
            let sending = Sending::on(conn, Ok(message.frame(conn)));
            Waiting { conn, sending: sending.counted(counted.message_type, counted.bytes) }
        };
        let mut waiting: FuturesUnordered<_> = full.iter().map(wait).collect();
        let _ = timeout(WAIT, async {
            while let Some(done) = waiting.next().await {
                accepted += usize::from(done.is_some());
                done.into_iter().for_each(|conn| message.report_compression(conn));
            }
        })
        .await;
        let now = Instant::now();
        for Waiting { sending, .. } in waiting {
            if let Some((conn, result)) = sending.push_beyond(now, limit) {
                accepted += usize::from(is_accepted(conn, &message, &result, &mut late));
            }
        }
    }
    // A connection without room in its reserve has one more chance, because its peer or this
    // machine may only be busy.
    for _ in 0..LAST_CHANCES {
        if late.is_empty() {
            return accepted;
        }
        sleep(WAIT / LAST_CHANCES).await;
        accepted += push_beyond(std::mem::take(&mut late), &message, limit, &mut late);
    }
    late.iter().for_each(close);
    accepted
}

/// The message of a broadcast.
struct Outgoing<'m> {
    frame: Bytes,
    message_type: &'m str,
    counted: Counted,
    /// The frames for connections that compress. `None` if the hub does not compress it.
    compressed: Option<Variants>,
}

impl Outgoing<'_> {
    fn report(&self, conn: &Handle) {
        self.counted.report(conn);
        self.report_compression(conn);
    }

    fn report_compression(&self, conn: &Handle) {
        if let Some(variants) = &self.compressed {
            variants.report(self.counted.bytes, conn);
        }
    }

    /// Returns the frame for this connection.
    fn frame(&self, conn: &Handle) -> Bytes {
        let compressed = self.compressed.as_ref().and_then(|variants| variants.frame(&self.frame, conn));
        compressed.unwrap_or_else(|| self.frame.clone())
    }
}

/// A connection whose queue is full, and the send that waits for its room.
struct Waiting<'c> {
    conn: &'c Handle,
    sending: Sending<'c>,
}

impl<'c> Future for Waiting<'c> {
    /// The connection, if its queue took the frame.
    type Output = Option<&'c Handle>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let conn = self.conn;
        Pin::new(&mut self.sending).poll(cx).map(|sent| sent.is_ok().then_some(conn))
    }
}

/// The connections by what their queues did with the frame.
#[derive(Default)]
struct Offered {
    accepted: usize,
    /// Those that accepted it, if the observer wants to know.
    reported: Vec<Handle>,
    /// Those whose peers do not understand it.
    withheld: Vec<Handle>,
    full: Vec<Handle>,
    behind: Vec<Handle>,
}

impl Offered {
    #[inline]
    fn push<const WATCHED: bool>(&mut self, conn: &Handle, frame: Bytes) {
        match conn.try_push(frame) {
            Ok(()) => {
                self.accepted += 1;
                if WATCHED {
                    self.reported.push(conn.clone());
                }
            }
            Err(PushError::Full) if conn.queue().is_behind() => self.behind.push(conn.clone()),
            Err(PushError::Full) => self.full.push(conn.clone()),
            Err(PushError::Closed) => {}
        }
    }
}

/// Queues the frame where there is room. `WATCHED` and `DIFFERS` are constants, because one
/// instruction for each connection is one percent. `DIFFERS` is whether connections may get
/// different frames, or none.
fn offer<const WATCHED: bool, const DIFFERS: bool>(
    roster: &Roster,
    label: Option<&str>,
    message: &Outgoing<'_>,
) -> Offered {
    let (mut offered, mut later) = (Offered::default(), Vec::new());
    let visit = |conn: &Handle| {
        if DIFFERS && !conn.peer_reads(message.message_type) {
            return offered.withheld.push(conn.clone());
        }
        if DIFFERS && message.compressed.as_ref().is_some_and(|variants| variants.is_missing(conn)) {
            return later.push(conn.clone());
        }
        let frame = if DIFFERS { message.frame(conn) } else { message.frame.clone() };
        offered.push::<WATCHED>(conn, frame);
    };
    match label {
        None => roster.registry().for_each(visit),
        Some(label) => roster.labels().for_each(label, visit),
    }
    later.iter().for_each(|conn| offered.push::<WATCHED>(conn, message.frame(conn)));
    offered
}

/// Queues the frame in the reserve of each of these connections. Returns the number of connections
/// that accepted it. Those without room go into `late`.
fn push_beyond(behind: Vec<Handle>, message: &Outgoing<'_>, limit: Duration, late: &mut Vec<Handle>) -> usize {
    let now = Instant::now();
    let accepted = behind.into_iter().filter(|conn| {
        let result = conn.queue().push_beyond(message.frame(conn), now, limit);
        is_accepted(conn, message, &result, late)
    });
    accepted.count()
}

/// Whether a full connection accepted the frame. A connection that was too slow for too long is
/// closed.
fn is_accepted(
    conn: &Handle,
    message: &Outgoing<'_>,
    result: &Result<Beyond, QueueClosed>,
    late: &mut Vec<Handle>,
) -> bool {
    match result {
        Ok(Beyond::Queued) => {
            message.report(conn);
            return true;
        }
        Ok(Beyond::Full) => late.push(conn.clone()),
        Ok(Beyond::TooLong) => close(conn),
        Err(QueueClosed) => {}
    }
    false
}

fn close(conn: &Handle) {
    conn.close(CloseCode::TRY_AGAIN_LATER, "this connection is too slow for the broadcasts".into());
}
