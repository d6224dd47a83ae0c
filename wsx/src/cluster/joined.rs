//! The cluster as a hub uses it: sends, requests and closes for boxes of other nodes, and
//! broadcasts to all of them. Each of them has a deadline.
use crate::{
    cluster::{
        CONFIRMED,
        boxes::{Boxes, Holder},
        bus::{AskError, Bus, NodeId, NotPublished},
        calls::Calls,
        events::Events,
        local::{Forwarded, Local},
        node::{self, Node},
        packet::{self, Packet, Verdict},
        peers::Peers,
        shared::{ClusterStatus, Shared},
    },
    connection::asking::raw::milliseconds,
    error::SendError,
};
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Broadcasts of other nodes that wait for the boxes of this one. More than that are missed, and
/// reported. A broadcast waits at most 100 ms for full queues.
const BROADCASTS: usize = 1024;
/// Bytes of these broadcasts, except for a single longer one. As many as the bus may hold on the
/// side of the sender.
pub(super) const BROADCAST_BYTES: usize = 16 << 20;
/// How long a send to a box that nobody has waits after the bus came up, because the other nodes
/// may not be back yet. Within it, NATS also says that nobody reads the subject of a node that is
/// alive: this took up to 220 ms in a measurement.
const GRACE: Duration = Duration::from_secs(2);
/// How often a send looks again meanwhile.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a send looks again for a box that its node does not have any more, since it may be
/// about to come to another one.
const MOVES: u32 = 3;
/// How long a broadcast waits for room in the queue to the other nodes. As long as for the full
/// queues of boxes.
const WAIT: Duration = Duration::from_millis(100);

/// A request does not wait longer, so that its deadline can be computed.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long the end of a hub waits until the other nodes can know of it.
const LEAVE: Duration = Duration::from_secs(1);
/// Bytes of a packet around a message without its type and its label, at most. A character of these
/// takes up to 6.
const HEADER: usize = 512;

/// The cluster, as the hub of this node uses it. The node leaves when this is dropped.
pub(crate) struct Cluster {
    me: NodeId,
    bus: Arc<dyn Bus>,
    local: Arc<dyn Local>,
    boxes: Arc<dyn Boxes>,
    shared: Arc<Shared>,
    /// The nodes whose subject nobody reads.
    lost: mpsc::Sender<NodeId>,
    /// The number of requests that were made.
    calls: AtomicU64,
    /// Held by the broadcast that waits for room.
    late: tokio::sync::Mutex<()>,
    stop: CancellationToken,
    /// Cancelled when the node has ended.
    ended: CancellationToken,
    _stops: DropGuard,
}

impl Cluster {
    /// Begins the task of a node on the current runtime.
    pub(crate) fn begin(
        me: NodeId,
        name: Arc<str>,
        (bus, events, running): (Arc<dyn Bus>, Events, Box<dyn Send>),
        local: Arc<dyn Local>,
        boxes: Arc<dyn Boxes>,
        changed: Arc<Notify>,
    ) -> Self {
        let (stop, shared) = (CancellationToken::new(), Arc::new(Shared::default()));
        let ((lost, is_lost), (broadcasts, received)) = (mpsc::channel(16), mpsc::channel(BROADCASTS));
        tokio::spawn(node::hand_out(local.clone(), shared.clone(), received));
        let node = Node {
            me,
            name,
            bus: bus.clone(),
            local: local.clone(),
            boxes: boxes.clone(),
            shared: shared.clone(),
            changed,
            peers: Peers::default(),
            calls: Calls::default(),
            broadcasts,
            fetches: Arc::new(Semaphore::new(node::MAX_FETCHES)),
            reported: None,
            ticked: Instant::now(),
            lost_packets: 0,
        };
        let (ended, ends) = (CancellationToken::new(), stop.clone());
        let ending = ended.clone().drop_guard();
        tokio::spawn(async move {
            node.run(events, is_lost, ends, running).await;
            drop(ending);
        });
        Self {
            ended,
            me,
            bus,
            local,
            boxes,
            shared,
            lost,
            calls: AtomicU64::new(0),
            late: tokio::sync::Mutex::default(),
            _stops: stop.clone().drop_guard(),
            stop,
        }
    }

    pub(crate) fn status(&self) -> ClusterStatus {
        self.shared.status()
    }

    /// Returns the number of calls of other nodes that run here.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.shared.running.load(Relaxed)
    }

    /// Ends the node: the others learn that it has left. Waits for that for at most a second.
    pub(crate) async fn leave(&self) {
        self.stop.cancel();
        let _ = timeout(LEAVE, self.ended.cancelled()).await;
    }

    /// Sends a message to the box with this id, wherever it is. It waits for room for at most
    /// `ttl`.
    pub(crate) async fn send(&self, id: &str, message: Forwarded, ttl: Option<Duration>) -> Result<Verdict, SendError> {
        let deadline = Instant::now() + CONFIRMED;
        // So that the node still answers that there was no room.
        let room = |left: Duration| ttl.unwrap_or(left).min(left * 9 / 10);
        let remote = |_, left| {
            let kind = message.kind.clone();
            let packet = Packet::Send { id: id.to_owned(), ttl: milliseconds(room(left)), message: kind };
            self.packet(&packet, &message.envelope)
        };
        let local = |left| {
            let send = self.local.send(id, message.clone(), room(left));
            async move { (send.await, Bytes::new()) }
        };
        self.route(id, deadline, remote, local).await.map(|(verdict, _)| verdict)
    }

    /// Asks the box with this id, wherever it is.
    pub(crate) async fn ask(
        &self,
        id: &str,
        message: Forwarded,
        timeout: Duration,
    ) -> Result<(Verdict, Bytes), SendError> {
        let deadline = Instant::now() + timeout.min(LONGEST);
        let call = self.calls.fetch_add(1, Relaxed);
        let cancelling = Cancelling { cluster: self, call, asked: Mutex::default() };
        let remote = |node, left: Duration| {
            cancelling.set(Some(node));
            let (kind, timeout) = (message.kind.clone(), milliseconds(left));
            let packet = Packet::Ask { from: self.me, call, id: id.to_owned(), timeout, message: kind };
            self.packet(&packet, &message.envelope)
        };
        let local = |left| self.local.ask(id, message.clone(), left);
        let answered = self.route(id, deadline, remote, local).await;
        if !matches!(answered, Err(SendError::Unconfirmed)) {
            cancelling.set(None);
        }
        answered
    }

    /// Closes the connection of the box with this id, wherever it is.
    pub(crate) async fn close(&self, id: &str, code: u16, reason: &str) -> Result<Verdict, SendError> {
        let deadline = Instant::now() + CONFIRMED;
        let remote = |_, _| {
            let packet = Packet::Close { id: id.to_owned(), code, reason: reason.to_owned() };
            self.packet(&packet, &[])
        };
        let local = |_| {
            let verdict = self.local.close(id, code, reason);
            async move { (verdict, Bytes::new()) }
        };
        self.route(id, deadline, remote, local).await.map(|(verdict, _)| verdict)
    }

    /// Publishes a broadcast for the boxes of all other nodes. Never waits: without room now, it
    /// returns what publishes the broadcast later.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`]: nothing was published, and nothing should be.
    pub(crate) fn broadcast<'c>(
        &'c self,
        message: Forwarded,
        label: Option<&'c str>,
    ) -> Result<Option<impl Future<Output = ()> + Send + 'c>, SendError> {
        let around = HEADER + 6 * (message.kind.message_type.len() + label.map_or(0, str::len));
        let (bytes, maximum) = (message.envelope.len() + around, self.bus.max_payload());
        if bytes > maximum {
            return Err(SendError::TooLong { bytes, maximum });
        }
        Ok(match self.publish(&message, label) {
            Ok(()) => None,
            Err(NotPublished::Full) => Some(self.broadcast_late(message, label)),
            Err(NotPublished::Down) => {
                self.shared.drop_broadcast();
                None
            }
        })
    }

    /// Publishes a broadcast for which there was no room. It waits for at most 100 ms; then the
    /// other nodes miss it.
    fn broadcast_late<'c>(
        &'c self,
        message: Forwarded,
        label: Option<&'c str>,
    ) -> impl Future<Output = ()> + Send + 'c {
        // Now, so that it is counted also if the future is dropped before its first poll.
        let unpublished = Unpublished(self);
        async move {
            let published = timeout(WAIT, async {
                // One at a time: room that is given back goes to the next one that waits for it.
                let _turn = self.late.lock().await;
                self.bus.room().await;
                self.publish(&message, label)
            });
            if matches!(published.await, Ok(Ok(()))) || self.publish(&message, label).is_ok() {
                std::mem::forget(unpublished);
            }
        }
    }

    fn publish(&self, message: &Forwarded, label: Option<&str>) -> Result<(), NotPublished> {
        self.shared.number_broadcast(|number| {
            let (label, kind) = (label.map(str::to_owned), message.kind.clone());
            let packet = Packet::Broadcast { from: self.me, number, label, message: kind };
            self.bus.publish(packet::encode(&packet, &message.envelope))
        })
    }

    fn packet(&self, packet: &Packet, payload: &[u8]) -> Result<Bytes, SendError> {
        let (packet, maximum) = (packet::encode(packet, payload), self.bus.max_payload());
        if packet.len() > maximum {
            return Err(SendError::TooLong { bytes: packet.len(), maximum });
        }
        Ok(packet)
    }

    /// Finds the node that has this id, and has it do something by the deadline.
    async fn route<F: Future<Output = (Verdict, Bytes)>>(
        &self,
        id: &str,
        deadline: Instant,
        remote: impl Fn(NodeId, Duration) -> Result<Bytes, SendError>,
        local: impl Fn(Duration) -> F,
    ) -> Result<(Verdict, Bytes), SendError> {
        let mut moves = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let settled = self.bus.up_since().map(|since| since.elapsed() >= GRACE);
            let looks_again = match (self.boxes.holder(id), settled) {
                (Holder::Here, _) => match local(left).await {
                    (Verdict::NotHere, _) => true,
                    done => return Ok(done),
                },
                (_, None) => return Err(SendError::NodeUnreachable),
                (Holder::At(node), Some(settled)) => match self.bus.ask(node, remote(node, left)?, left).await {
                    Ok(answer) => match packet::decode(&answer) {
                        Ok((Verdict::NotHere, _)) => true,
                        Ok(done) => return Ok(done),
                        Err(_) => return Err(SendError::Unconfirmed),
                    },
                    Err(AskError::Down) => return Err(SendError::NodeUnreachable),
                    Err(AskError::TimedOut) => return Err(SendError::Unconfirmed),
                    Err(AskError::NoSuchNode) => {
                        if settled {
                            let _ = self.lost.try_send(node);
                        }
                        true
                    }
                },
                (Holder::Nobody, Some(_)) => false,
            };
            moves += u32::from(looks_again);
            let waits = settled == Some(false) || (looks_again && moves <= MOVES);
            if !waits || left <= PAUSE {
                return Ok((Verdict::NotHere, Bytes::new()));
            }
            sleep(PAUSE).await;
        }
    }
}

/// A broadcast that waits for room. If it is dropped meanwhile, the other nodes do not get it.
struct Unpublished<'c>(&'c Cluster);

impl Drop for Unpublished<'_> {
    fn drop(&mut self) {
        self.0.shared.drop_broadcast();
    }
}

/// Tells the node that has a request when nobody waits for its reply any more.
struct Cancelling<'c> {
    cluster: &'c Cluster,
    call: u64,
    /// The node that was asked last, if it may still work on the request.
    asked: Mutex<Option<NodeId>>,
}

impl Cancelling<'_> {
    fn set(&self, node: Option<NodeId>) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = node;
    }
}

impl Drop for Cancelling<'_> {
    fn drop(&mut self) {
        if let Some(node) = self.asked.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let cancel = Packet::Cancel { from: self.cluster.me, call: self.call };
            self.cluster.bus.tell(*node, packet::encode(&cancel, &[]));
        }
    }
}
