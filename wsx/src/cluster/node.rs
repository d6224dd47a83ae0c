//! The task of a node: it reads what the others send, tells them about its own boxes, and notices
//! who is lost. It never waits for a box or for the bus.
use crate::{
    cluster::{
        boxes::Boxes,
        bus::{Answerer, Bus, Event, NodeId},
        calls::Calls,
        events::Events,
        joined::BROADCAST_BYTES,
        local::{Forwarded, Local},
        packet::{self, Join, Packet, Verdict},
        peers::{Next, Peers},
        shared::Shared,
    },
    observer::ClusterEvent,
};
use bytes::Bytes;
use futures_util::FutureExt;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    task::consume_budget,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

/// How often a node says that it is alive.
const HELLO: Duration = Duration::from_secs(1);
/// Maximum length of a packet with changes or boxes, in bytes, unless NATS takes less. By default
/// NATS takes four times as much.
const MAX_PACKET: usize = 256 << 10;
/// Bytes of a packet around its changes or boxes.
const HEADER: usize = 512;
/// A node that has not said hello for this long has not read what the others say either: its
/// process stood still. It does not lose them for that.
const STALL: Duration = Duration::from_secs(3);
/// How long a node waits until another one has taken a part, and how long it waits at its end until
/// the bus has written everything.
const PART: Duration = Duration::from_secs(2);
/// Maximum number of nodes that fetch the boxes of this one at a time. Each needs memory for all of
/// them once more. Others ask again.
pub(super) const MAX_FETCHES: usize = 4;
/// Maximum length of the name of a node, in bytes. A hub cannot set a longer one.
const LONGEST_NAME: usize = 64;
/// A packet that cannot be read is reported at most this often.
const REPORT: Duration = Duration::from_secs(60);

/// A node of a cluster.
pub(super) struct Node {
    pub(super) me: NodeId,
    pub(super) name: Arc<str>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) local: Arc<dyn Local>,
    pub(super) boxes: Arc<dyn Boxes>,
    pub(super) shared: Arc<Shared>,
    /// Notified when this node has changes to publish.
    pub(super) changed: Arc<Notify>,
    pub(super) peers: Peers,
    pub(super) calls: Calls,
    /// The broadcasts of others, which a task of its own hands to the boxes.
    pub(super) broadcasts: mpsc::Sender<(Forwarded, Option<String>)>,
    /// What takes the boxes of this node, for each node that fetches them.
    pub(super) fetches: Arc<tokio::sync::Semaphore>,
    /// When a packet that cannot be read was reported.
    pub(super) reported: Option<Instant>,
    /// When this node said hello last.
    pub(super) ticked: Instant,
    /// The packets that this node was too slow to read, at that time.
    pub(super) lost_packets: u64,
}

/// Returns how many bytes of changes or boxes a packet may have.
fn room(bus: &dyn Bus) -> usize {
    bus.max_payload().min(MAX_PACKET).saturating_sub(HEADER)
}

/// Hands the broadcasts of other nodes to the boxes of this one, one after the other.
pub(super) async fn hand_out(
    local: Arc<dyn Local>,
    shared: Arc<Shared>,
    mut broadcasts: mpsc::Receiver<(Forwarded, Option<String>)>,
) {
    while let Some((message, label)) = broadcasts.recv().await {
        let bytes = message.envelope.len();
        local.broadcast(message, label).await;
        shared.waiting.fetch_sub(bytes, Relaxed);
    }
}

impl Node {
    /// Runs until the bus ends, or `stop`. Then the others learn that this node has left.
    /// `running` ends the bus when it is dropped.
    pub(super) async fn run(
        mut self,
        mut events: Events,
        mut lost: mpsc::Receiver<NodeId>,
        stop: CancellationToken,
        running: Box<dyn Send>,
    ) {
        let mut hello = interval(HELLO);
        hello.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let changed = self.changed.clone();
        loop {
            #[cfg(test)]
            self.shared.running.store(self.calls.len(), Relaxed);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // What others send comes last, since it may never end. The rest is rare.
                _ = hello.tick() => self.tick(),
                () = changed.notified() => self.publish_changes(),
                () = self.calls.next() => {}
                Some(node) = lost.recv() => if self.peers.is_quiet(node, Instant::now()) { self.lose(node) },
                event = events.next() => match event {
                    Some(event) => {
                        self.read(event);
                        // Nothing here waits, and the tasks that this has woken get their turn.
                        consume_budget().await;
                    }
                    None => break,
                },
            }
        }
        // Requests that have ended with the last connections.
        while self.calls.next().now_or_never().is_some() {}
        self.publish_changes();
        let bye = packet::encode(&Packet::Bye { from: self.me }, &[]);
        if self.bus.publish(bye).is_ok() {
            // Otherwise the others lose this node after their time of silence.
            let _ = timeout(PART, self.bus.flushed()).await;
        }
        self.boxes.set_up(false);
        self.shared.connected.store(false, Relaxed);
        self.shared.set_nodes(Vec::new());
        for name in self.peers.names() {
            self.boxes.report(&ClusterEvent::NodeLeft { name });
        }
        self.boxes.report(&ClusterEvent::Disconnected { reason: "this hub has shut down".to_owned() });
        drop(running);
    }

    fn read(&mut self, event: Event) {
        match event {
            Event::Up => {
                self.peers.hear_again(Instant::now());
                self.boxes.set_up(true);
                self.shared.connected.store(true, Relaxed);
                self.boxes.report(&ClusterEvent::Connected);
                // First, so that the others follow the changes.
                self.say_hello();
                self.publish_changes();
            }
            Event::Down(reason) => {
                self.boxes.set_up(false);
                self.shared.connected.store(false, Relaxed);
                self.boxes.report(&ClusterEvent::Disconnected { reason });
            }
            Event::Published(bytes) | Event::Told(bytes) => match packet::decode(&bytes) {
                Ok((packet, payload)) => self.told(packet, payload),
                Err(error) => self.ignore(&error),
            },
            Event::Asked(bytes, answerer) => match packet::decode(&bytes) {
                Ok((packet, payload)) => self.asked(packet, payload, answerer),
                Err(error) => self.ignore(&error),
            },
        }
    }

    /// A packet that nobody waits for.
    fn told(&mut self, packet: Packet, payload: Bytes) {
        let now = Instant::now();
        match packet {
            Packet::Hello { from, .. }
            | Packet::Changes { from, .. }
            | Packet::Broadcast { from, .. }
            | Packet::Bye { from }
                if from == self.me => {}
            Packet::Hello { name, .. } if name.len() > LONGEST_NAME => {}
            Packet::Hello { from, name, version, len, broadcasts } => {
                self.boxes.heard(from);
                let fits = len.is_none_or(|len| len == self.boxes.claimed_by(from));
                let next = self.peers.hello(from, &name, version, broadcasts, fits, now);
                if next.is_new {
                    self.boxes.report(&ClusterEvent::NodeJoined { name: name.into() });
                    self.count_nodes();
                    // So that it does not wait for the next hello of this node.
                    self.say_hello();
                }
                self.follow(from, next);
            }
            Packet::Changes { from, version, changes } => {
                let next = self.peers.changes(from, version, changes, now);
                self.follow(from, next);
            }
            Packet::Broadcast { from, number, label, message } => {
                let Some(mut missed) = self.peers.broadcast(from, number, now) else { return };
                let message = Forwarded { kind: message, envelope: payload };
                missed += u64::from(!self.keep(message, label));
                self.miss(from, missed);
            }
            Packet::Bye { from } => {
                if let Some(name) = self.peers.remove(from) {
                    self.boxes.lost(from, "the node of this id has shut down");
                    self.boxes.report(&ClusterEvent::NodeLeft { name });
                    self.count_nodes();
                }
            }
            Packet::Boxes { from } => self.hand_over(from),
            Packet::Cancel { from, call } => self.calls.cancel((from, call)),
            Packet::Part { .. } | Packet::Send { .. } | Packet::Ask { .. } | Packet::Close { .. } => {}
        }
    }

    /// A packet whose sender waits for an answer.
    fn asked(&mut self, packet: Packet, payload: Bytes, answerer: Answerer) {
        let (local, bytes, longest) = (&self.local, payload.len(), self.bus.max_payload());
        match packet {
            Packet::Send { id, ttl, message } => {
                let message = Forwarded { kind: message, envelope: payload };
                let send = || local.send(&id, message, Duration::from_millis(ttl));
                self.calls
                    .run(answerer, bytes, None, longest, || send().map(|verdict| (verdict, Bytes::new())).boxed());
            }
            Packet::Ask { from, call, id, timeout, message } => {
                let message = Forwarded { kind: message, envelope: payload };
                let ask = || local.ask(&id, message, Duration::from_millis(timeout));
                self.calls.run(answerer, bytes, Some((from, call)), longest, ask);
            }
            Packet::Close { id, code, reason } => {
                answerer.answer(packet::encode(&local.close(&id, code, &reason), &[]));
            }
            Packet::Part { from, version, part, parts, boxes } => {
                answerer.answer(packet::encode(&Verdict::Done, &[]));
                let next = self.peers.part(from, version, part, parts, boxes, Instant::now());
                self.follow(from, next);
            }
            other => self.told(other, payload),
        }
    }

    /// Does what the numbers of another node ask for.
    fn follow(&mut self, node: NodeId, next: Next) {
        let Next { changes, boxes, ask, missed, .. } = next;
        if let Some(boxes) = boxes {
            self.boxes.replace(node, boxes);
        }
        if !changes.is_empty() {
            self.boxes.apply(node, changes);
        }
        if ask {
            self.bus.tell(node, packet::encode(&Packet::Boxes { from: self.me }, &[]));
        }
        self.miss(node, missed);
    }

    /// Queues a broadcast of another node for the boxes. Returns whether there was room.
    fn keep(&self, message: Forwarded, label: Option<String>) -> bool {
        let bytes = message.envelope.len();
        // Only this task adds.
        let waiting = self.shared.waiting.fetch_add(bytes, Relaxed);
        let fits = waiting == 0 || waiting + bytes <= BROADCAST_BYTES;
        if fits && self.broadcasts.try_send((message, label)).is_ok() {
            return true;
        }
        self.shared.waiting.fetch_sub(bytes, Relaxed);
        false
    }

    fn miss(&self, node: NodeId, count: u64) {
        if count > 0 {
            self.shared.missed.fetch_add(count, Relaxed);
            self.boxes.report(&ClusterEvent::BroadcastsMissed { name: self.peers.name(node), count });
        }
    }

    fn publish_changes(&mut self) {
        if self.bus.up_since().is_none() {
            return;
        }
        while let Some((version, changes)) = self.boxes.take_changes(room(&*self.bus)) {
            // What is not published is missing in the next hello, and then fetched.
            let _ = self.bus.publish(packet::encode(&Packet::Changes { from: self.me, version, changes }, &[]));
        }
    }

    fn say_hello(&self) {
        let (version, len) = self.boxes.published();
        let broadcasts = self.shared.published();
        let hello = Packet::Hello { from: self.me, name: self.name.to_string(), version, len, broadcasts };
        // Without room there is more to read than a hello.
        let _ = self.bus.publish(packet::encode(&hello, &[]));
    }

    fn tick(&mut self) {
        let dropped = self.shared.take_dropped();
        if dropped > 0 {
            self.boxes.report(&ClusterEvent::BroadcastsDropped { count: dropped });
        }
        let (now, lost) = (Instant::now(), self.bus.lost());
        let stood_still = now.saturating_duration_since(std::mem::replace(&mut self.ticked, now)) > STALL;
        if stood_still || std::mem::replace(&mut self.lost_packets, lost) != lost {
            self.peers.hear_again(now);
        }
        let Some(since) = self.bus.up_since() else { return };
        self.publish_changes();
        self.say_hello();
        if since.elapsed() > super::peers::SILENCE {
            for node in self.peers.silent(now) {
                self.lose(node);
            }
        }
    }

    fn lose(&mut self, node: NodeId) {
        if let Some(name) = self.peers.lose(node) {
            self.boxes.lost(node, "the node of this id is lost");
            self.boxes.report(&ClusterEvent::NodeLost { name });
            self.count_nodes();
        }
    }

    fn count_nodes(&self) {
        self.shared.set_nodes(self.peers.names());
    }

    /// Sends all boxes of this node to another one, in parts.
    fn hand_over(&self, to: NodeId) {
        let Ok(permit) = self.fetches.clone().try_acquire_owned() else { return };
        let (from, bus, boxes) = (self.me, self.bus.clone(), self.boxes.clone());
        tokio::spawn(async move {
            let (version, all) = boxes.all();
            let (mut chunks, mut rest) = (Vec::new(), &*all);
            while chunks.is_empty() || !rest.is_empty() {
                let (chunk, others) = rest.split_at(packet::fitting(rest, Join::size, room(&*bus)));
                chunks.push(chunk);
                rest = others;
            }
            let parts = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
            for (part, boxes) in (0..parts).zip(chunks) {
                let packet = Packet::Part { from, version, part, parts, boxes: boxes.to_vec() };
                // One that does not arrive is asked for again, with all others.
                if bus.ask(to, packet::encode(&packet, &[]), PART).await.is_err() {
                    break;
                }
            }
            drop(permit);
        });
    }

    fn ignore(&mut self, error: &serde_json::Error) {
        let now = Instant::now();
        if self.reported.is_none_or(|reported| now.saturating_duration_since(reported) >= REPORT) {
            self.reported = Some(now);
            self.boxes.report(&ClusterEvent::PacketIgnored { reason: error.to_string() });
        }
    }
}
