//! The queue of events between a bus and the node that reads it. It does not know where the packets
//! come from, or what they mean.
use crate::cluster::bus::Event;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::Notify;

/// Published packets that may wait: a third of a second of one sender at its highest rate. Too few,
/// and a node that pauses shortly misses broadcasts. Too many, and one that is too slow holds the
/// memory.
pub(crate) const PUBLISHED: Room = Room { packets: 32_768, bytes: 32 << 20 };

/// Packets for this node alone that may wait. Their senders wait for answers, or send them anew.
pub(crate) const DIRECT: Room = Room { packets: 16_384, bytes: 32 << 20 };

/// `Up` and `Down` that may wait. With more, an adjacent pair in the middle says nothing that the
/// reader could still use: the last one is what holds.
const TURNS: usize = 16;

/// Packets and bytes: the bound of a part of the queue, and what of it is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
}

impl Room {
    /// Takes the room of one packet, if there is as much.
    fn take(&mut self, len: usize, bound: Self) -> bool {
        let fits = self.packets < bound.packets && self.bytes + len <= bound.bytes;
        if fits {
            self.packets += 1;
            self.bytes += len;
        }
        fits
    }

    fn give_back(&mut self, len: usize) {
        self.packets -= 1;
        self.bytes -= len;
    }
}

/// Returns a queue. Packets of the links before the current one are lost, and those of a link that
/// is not up.
pub(crate) fn queue() -> (EventSender, Events) {
    let queue = Arc::new(Queue::default());
    (EventSender(Arc::clone(&queue)), Events(queue))
}

/// The end of the node. It is the only reader.
#[derive(Debug)]
pub(crate) struct Events(Arc<Queue>);

/// The end of the bus. The queue ends when it is dropped.
#[derive(Debug)]
pub(crate) struct EventSender(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// Something waits, or the queue has ended.
    changed: Notify,
    /// Packets that were lost because the reader was too slow.
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Event>,
    published: Room,
    direct: Room,
    turns: usize,
    /// The number of the link that is up.
    link: Option<u64>,
    ended: bool,
}

impl Events {
    /// Waits for the next event. `None`: the bus has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut state = self.0.state();
                match state.waiting.pop_front() {
                    Some(event) => {
                        state.release(&event);
                        return Some(event);
                    }
                    None if state.ended => return None,
                    None => {}
                }
            }
            changed.await;
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.ended = true;
            std::mem::take(&mut state.waiting)
        };
        // Not under the lock: answers may be part of it.
        drop(waiting);
    }
}

impl EventSender {
    /// This link is up. What earlier links still send is lost.
    pub(crate) fn up(&self, link: u64) {
        let mut state = self.0.state();
        state.link = Some(link);
        state.turn(Event::Up);
        drop(state);
        self.0.changed.notify_one();
    }

    /// No link is up, for this reason.
    pub(crate) fn down(&self, reason: String) {
        let mut state = self.0.state();
        state.link = None;
        state.turn(Event::Down(reason));
        drop(state);
        self.0.changed.notify_one();
    }

    /// Queues a packet of a link. It is lost if the link is not up, or if the reader is too slow.
    pub(crate) fn packet(&self, link: u64, event: Event) {
        let mut state = self.0.state();
        if state.ended || state.link != Some(link) {
            return;
        }
        if state.take(&event) {
            state.waiting.push_back(event);
            drop(state);
            self.0.changed.notify_one();
        } else {
            drop(state);
            self.lose(1);
        }
    }

    /// Counts packets that were lost on their way to the reader.
    pub(crate) fn lose(&self, packets: u64) {
        self.0.lost.fetch_add(packets, Relaxed);
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) {
        self.0.state().ended = true;
        self.0.changed.notify_one();
    }

    /// The packets that were lost because the reader, or this process, was too slow.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Relaxed)
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.end();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Published(payload) => self.published.take(payload.len(), PUBLISHED),
            Event::Told(payload) | Event::Asked(payload, _) => self.direct.take(payload.len(), DIRECT),
            Event::Up | Event::Down(_) => true,
        }
    }

    fn release(&mut self, event: &Event) {
        match event {
            Event::Published(payload) => self.published.give_back(payload.len()),
            Event::Told(payload) | Event::Asked(payload, _) => self.direct.give_back(payload.len()),
            Event::Up | Event::Down(_) => self.turns -= 1,
        }
    }

    /// Queues `Up` or `Down`.
    fn turn(&mut self, event: Event) {
        if self.ended {
            return;
        }
        if self.turns == TURNS {
            // The oldest one stays, because the packets after it belong to it.
            let mut seen = 0;
            self.waiting.retain(|event| {
                seen += usize::from(matches!(event, Event::Up | Event::Down(_)));
                !matches!(event, Event::Up | Event::Down(_)) || seen == 1 || seen > 3
            });
            self.turns -= 2;
        }
        self.turns += 1;
        self.waiting.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn published(byte: u8) -> Event {
        Event::Published(Bytes::copy_from_slice(&[byte]))
    }

    async fn drain(events: &mut Events) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            all.push(event);
        }
        all
    }

    /// Row J8: packets of a link that is not up are lost.
    #[tokio::test]
    async fn packets_of_a_link_that_is_not_up_are_lost() {
        let (sender, mut events) = queue();
        sender.packet(1, published(0));
        sender.up(1);
        sender.packet(1, published(1));
        sender.down("gone".into());
        sender.packet(1, published(2));
        sender.up(2);
        sender.packet(1, published(3));
        sender.packet(2, published(4));
        drop(sender);
        let shown = drain(&mut events).await.into_iter().map(|event| format!("{event:?}")).collect::<Vec<_>>();
        assert_eq!(shown, ["Up", r#"Published(b"\x01")"#, r#"Down("gone")"#, "Up", r#"Published(b"\x04")"#]);
    }

    /// Row J7: a slow reader loses packets that are counted but not the turns.
    #[tokio::test]
    async fn a_slow_reader_loses_packets_that_are_counted_but_not_the_turns() {
        let (sender, mut events) = queue();
        sender.up(1);
        for _ in 0..PUBLISHED.packets + 3 {
            sender.packet(1, published(0));
        }
        sender.packet(1, Event::Told(Bytes::from_static(b"told")));
        sender.down("gone".into());
        assert_eq!(sender.lost(), 3);
        drop(sender);
        let all = drain(&mut events).await;
        assert_eq!(all.len(), PUBLISHED.packets + 3);
        assert!(matches!(all.last(), Some(Event::Down(_))));
        assert!(matches!(all[all.len() - 2], Event::Told(_)));
    }

    /// Row J11: the queue is bounded in bytes and has room again.
    #[tokio::test]
    async fn the_queue_is_bounded_in_bytes_and_has_room_again() {
        let (sender, mut events) = queue();
        sender.up(1);
        let long = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..40 {
            sender.packet(1, Event::Published(long.clone()));
            sender.packet(1, Event::Told(long.clone()));
        }
        assert_eq!(sender.lost(), 16);
        for _ in 0..3 {
            events.next().await.unwrap();
        }
        sender.packet(1, Event::Published(long.clone()));
        sender.packet(1, Event::Published(long));
        assert_eq!(sender.lost(), 17, "one of the three was `Up`, and one was told");
    }

    /// Row J9: a reader that is late learns the last turn of many.
    #[tokio::test]
    async fn a_reader_that_is_late_learns_the_last_turn_of_many() {
        let (sender, mut events) = queue();
        for link in 0..1000 {
            sender.up(link);
            sender.down(format!("reason {link}"));
        }
        sender.up(1000);
        drop(sender);
        let all = drain(&mut events).await;
        assert!(all.len() <= TURNS, "{}", all.len());
        assert!(matches!(all.last(), Some(Event::Up)));
        for pair in all.windows(2) {
            assert_ne!(matches!(pair[0], Event::Up), matches!(pair[1], Event::Up));
        }
    }

    /// Row J11: packets for a reader that is gone are not kept.
    #[tokio::test]
    async fn packets_for_a_reader_that_is_gone_are_not_kept() {
        let (sender, events) = queue();
        sender.up(1);
        sender.packet(1, published(0));
        drop(events);
        sender.packet(1, published(0));
        sender.down("gone".into());
        assert!(sender.0.state().waiting.is_empty());
    }
}
