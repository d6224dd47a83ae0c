//! A bus in one process, for tests of the nodes: with cuts, pauses, losses and delays. With a
//! delay of zero, a packet is in the queue of its receiver when the call returns.
use crate::cluster::{
    bus::{Answerer, AskError, Bus, Event, NodeId, NotPublished},
    events::{EventSender, Events, queue},
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until, timeout_at},
};

/// What joins the nodes. Its clones are the same network.
#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<State>>);

struct State {
    nodes: BTreeMap<NodeId, Node>,
    delay: Duration,
    max_payload: usize,
}

struct Node {
    events: EventSender,
    up: Option<Instant>,
    /// The number of times that it came up.
    link: u64,
    /// Its packets are lost, and it does not know.
    cut: bool,
    paused: bool,
    /// Its queue of published packets is full.
    full: bool,
    /// The number of packets of others that are lost before they reach it.
    lose_published: usize,
    lose_direct: usize,
    /// What has not come yet, and when it comes.
    coming: VecDeque<(Instant, Parcel)>,
    /// What it sent while it was paused.
    kept: VecDeque<Sent>,
    changed: Arc<Notify>,
}

enum Sent {
    Publish(Bytes),
    Tell(NodeId, Bytes),
    Ask(NodeId, Bytes, Asker),
    Answer(NodeId, Bytes, Asker),
}

enum Parcel {
    Event(Event),
    Answer(Bytes, Asker),
}

type Asker = oneshot::Sender<Result<Bytes, AskError>>;

impl Network {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { nodes: BTreeMap::new(), delay: Duration::ZERO, max_payload: 1 << 20 })))
    }

    /// Adds a node, whose bus is up. It leaves when its bus is dropped.
    pub(crate) fn join(&self, id: NodeId) -> (Arc<dyn Bus>, Events) {
        let joined = self.join_down(id);
        self.set_up(id, true);
        joined
    }

    /// Adds a node, whose bus is down.
    pub(crate) fn join_down(&self, id: NodeId) -> (Arc<dyn Bus>, Events) {
        let (sender, events) = queue();
        let node = Node {
            events: sender,
            up: None,
            link: 0,
            cut: false,
            paused: false,
            full: false,
            lose_published: 0,
            lose_direct: 0,
            coming: VecDeque::new(),
            kept: VecDeque::new(),
            changed: Arc::new(Notify::new()),
        };
        let changed = Arc::clone(&node.changed);
        assert!(self.state().nodes.insert(id, node).is_none(), "{id} has joined already");
        tokio::spawn(self.clone().deliver(id, changed));
        (Arc::new(MemoryBus { network: self.clone(), id }), events)
    }

    /// Ends a node: nobody reads its subject, and its events end.
    pub(crate) fn kill(&self, id: NodeId) {
        let node = self.state().nodes.remove(&id);
        if let Some(node) = node {
            node.changed.notify_waiters();
            node.changed.notify_one();
        }
    }

    /// The bus of a node comes up, or goes down. What has not come is lost.
    pub(crate) fn set_up(&self, id: NodeId, up: bool) {
        self.change(id, |node| {
            if up == node.up.is_some() {
                return;
            }
            if up {
                node.up = Some(Instant::now());
                node.link += 1;
                node.events.up(node.link);
            } else {
                node.up = None;
                node.coming.clear();
                node.kept.clear();
                node.events.down("the test says so".into());
            }
        });
    }

    /// From now on, packets of this node and to it are lost. Its bus stays up.
    pub(crate) fn cut(&self, id: NodeId) {
        self.change(id, |node| node.cut = true);
    }

    pub(crate) fn heal(&self, id: NodeId) {
        self.change(id, |node| node.cut = false);
    }

    /// From now on, packets of this node and to it wait, as if its process was stopped.
    pub(crate) fn pause(&self, id: NodeId) {
        self.change(id, |node| node.paused = true);
    }

    pub(crate) fn resume(&self, id: NodeId) {
        let kept = self.change(id, |node| {
            node.paused = false;
            std::mem::take(&mut node.kept)
        });
        for sent in kept {
            self.send(id, sent);
        }
    }

    /// The next published packets of other nodes do not reach this node.
    pub(crate) fn lose_next(&self, id: NodeId, packets: usize) {
        self.change(id, |node| node.lose_published = packets);
    }

    /// The next packets for this node alone do not reach it.
    pub(crate) fn lose_next_direct(&self, id: NodeId, packets: usize) {
        self.change(id, |node| node.lose_direct = packets);
    }

    /// Whether the queue of published packets of this node is full.
    pub(crate) fn set_full(&self, id: NodeId, full: bool) {
        self.change(id, |node| node.full = full);
    }

    /// How long each packet and each answer is on its way.
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub(crate) fn set_max_payload(&self, bytes: usize) {
        self.state().max_payload = bytes;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, id: NodeId, change: impl FnOnce(&mut Node) -> T) -> T {
        let mut state = self.state();
        let node = state.nodes.get_mut(&id).expect("the node has joined");
        let result = change(node);
        node.changed.notify_waiters();
        node.changed.notify_one();
        result
    }

    fn send(&self, from: NodeId, sent: Sent) {
        let mut state = self.state();
        let Some(node) = state.nodes.get_mut(&from) else { return };
        if node.paused {
            node.kept.push_back(sent);
            return;
        }
        if node.up.is_none() || node.cut {
            // An asker waits until its deadline.
            return;
        }
        let due = Instant::now() + state.delay;
        match sent {
            Sent::Publish(payload) => {
                for (&id, node) in &mut state.nodes {
                    if id != from && node.lose_published > 0 {
                        node.lose_published -= 1;
                    } else {
                        node.receive(due, Parcel::Event(Event::Published(payload.clone())));
                    }
                }
            }
            Sent::Tell(to, payload) => {
                if let Some(node) = state.nodes.get_mut(&to) {
                    node.receive_direct(due, Parcel::Event(Event::Told(payload)));
                }
            }
            Sent::Ask(to, payload, asker) => match state.nodes.get_mut(&to) {
                Some(node) if node.up.is_some() => {
                    let network = self.clone();
                    let answer = Answerer(Box::new(move |bytes| network.send(to, Sent::Answer(from, bytes, asker))));
                    node.receive_direct(due, Parcel::Event(Event::Asked(payload, answer)));
                }
                _ => {
                    // Nobody is there to hear that it failed, if the asker is gone.
                    let _ = asker.send(Err(AskError::NoSuchNode));
                }
            },
            Sent::Answer(to, payload, asker) => {
                if let Some(node) = state.nodes.get_mut(&to) {
                    node.receive(due, Parcel::Answer(payload, asker));
                }
            }
        }
    }

    /// Hands out what comes later.
    async fn deliver(self, id: NodeId, changed: Arc<Notify>) {
        loop {
            let notified = changed.notified();
            let next = {
                let mut state = self.state();
                let Some(node) = state.nodes.get_mut(&id) else { return };
                let now = Instant::now();
                while !node.paused && node.coming.front().is_some_and(|(due, _)| *due <= now) {
                    let (_, parcel) = node.coming.pop_front().expect("it is there");
                    node.hand_out(parcel);
                }
                node.coming.front().filter(|_| !node.paused).map(|(due, _)| *due)
            };
            match next {
                Some(due) => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = notified => {}
                    }
                }
                None => notified.await,
            }
        }
    }
}

impl Node {
    fn receive_direct(&mut self, due: Instant, parcel: Parcel) {
        if self.lose_direct > 0 {
            self.lose_direct -= 1;
        } else {
            self.receive(due, parcel);
        }
    }

    fn receive(&mut self, due: Instant, parcel: Parcel) {
        if self.up.is_none() || self.cut {
            return;
        }
        if due <= Instant::now() && !self.paused && self.coming.is_empty() {
            self.hand_out(parcel);
        } else {
            let due = self.coming.back().map_or(due, |(last, _)| due.max(*last));
            self.coming.push_back((due, parcel));
            self.changed.notify_one();
        }
    }

    fn hand_out(&self, parcel: Parcel) {
        match parcel {
            Parcel::Event(event) => self.events.packet(self.link, event),
            Parcel::Answer(payload, asker) => {
                // The asker may have given up.
                let _ = asker.send(Ok(payload));
            }
        }
    }
}

struct MemoryBus {
    network: Network,
    id: NodeId,
}

impl MemoryBus {
    fn is_up(&self) -> bool {
        self.up_since().is_some()
    }
}

impl Bus for MemoryBus {
    fn up_since(&self) -> Option<Instant> {
        self.network.state().nodes.get(&self.id)?.up
    }

    fn max_payload(&self) -> usize {
        self.network.state().max_payload
    }

    fn publish(&self, payload: Bytes) -> Result<(), NotPublished> {
        match self.network.state().nodes.get(&self.id) {
            Some(node) if node.up.is_some() && node.full => return Err(NotPublished::Full),
            Some(node) if node.up.is_some() => {}
            _ => return Err(NotPublished::Down),
        }
        assert!(payload.len() <= self.max_payload(), "the packet is too long");
        self.network.send(self.id, Sent::Publish(payload));
        Ok(())
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        async {
            loop {
                let changed = {
                    let state = self.network.state();
                    match state.nodes.get(&self.id) {
                        Some(node) if node.up.is_some() && node.full => Arc::clone(&node.changed).notified_owned(),
                        _ => return,
                    }
                };
                changed.await;
            }
        }
        .boxed()
    }

    fn flushed(&self) -> BoxFuture<'_, ()> {
        self.room()
    }

    fn ask(&self, node: NodeId, payload: Bytes, timeout: Duration) -> BoxFuture<'_, Result<Bytes, AskError>> {
        async move {
            if !self.is_up() {
                return Err(AskError::Down);
            }
            assert!(payload.len() <= self.max_payload(), "the packet is too long");
            let deadline = Instant::now() + timeout;
            let (asker, answer) = oneshot::channel();
            self.network.send(self.id, Sent::Ask(node, payload, asker));
            match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => return answer,
                // It was lost, and nobody knows.
                Ok(Err(_)) => sleep_until(deadline).await,
                Err(_) => {}
            }
            Err(AskError::TimedOut)
        }
        .boxed()
    }

    fn tell(&self, node: NodeId, payload: Bytes) {
        if self.is_up() {
            self.network.send(self.id, Sent::Tell(node, payload));
        }
    }

    fn lost(&self) -> u64 {
        self.network.state().nodes.get(&self.id).map_or(0, |node| node.events.lost())
    }
}

impl Drop for MemoryBus {
    fn drop(&mut self) {
        self.network.kill(self.id);
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);
    const SECOND: Duration = Duration::from_secs(1);

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    async fn shown(events: &mut Events) -> String {
        match tokio::time::timeout(SECOND, events.next()).await {
            Ok(Some(event)) => format!("{event:?}"),
            Ok(None) => "the end".into(),
            Err(_) => "nothing".into(),
        }
    }

    /// Two nodes that know that they are up.
    async fn pair() -> (Network, [(Arc<dyn Bus>, Events); 2]) {
        let net = Network::new();
        let mut nodes = [net.join(ONE), net.join(TWO)];
        for (_, events) in &mut nodes {
            assert_eq!(shown(events).await, "Up");
        }
        (net, nodes)
    }

    #[tokio::test(start_paused = true)]
    async fn all_nodes_receive_what_is_published_in_order() {
        let (_net, [(one, mut of_one), (_two, mut of_two)]) = pair().await;
        for text in ["a", "b"] {
            one.publish(bytes(text)).unwrap();
        }
        for events in [&mut of_one, &mut of_two] {
            assert_eq!(shown(events).await, r#"Published(b"a")"#);
            assert_eq!(shown(events).await, r#"Published(b"b")"#);
            assert_eq!(shown(events).await, "nothing");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_reaches_the_node_that_asks_after_the_delay() {
        let (net, [(one, _of_one), (_two, mut of_two)]) = pair().await;
        net.set_delay(SECOND);
        let start = Instant::now();
        let answers = async {
            let Some(Event::Asked(question, answerer)) = of_two.next().await else { panic!("it is asked") };
            assert_eq!((question, start.elapsed()), (bytes("question"), SECOND));
            answerer.answer(bytes("answer"));
        };
        let (answer, ()) = tokio::join!(one.ask(TWO, bytes("question"), SECOND * 3), answers);
        assert_eq!((answer, start.elapsed()), (Ok(bytes("answer")), SECOND * 2));
        assert_eq!(one.ask(TWO, bytes("question"), SECOND).await, Err(AskError::TimedOut));
    }

    /// Row J3: a node that is not there is known at once and one that is cut is not.
    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_not_there_is_known_at_once_and_one_that_is_cut_is_not() {
        let (net, [(one, _of_one), (two, mut of_two)]) = pair().await;
        let start = Instant::now();
        assert_eq!(one.ask(NodeId(3), bytes("?"), SECOND).await, Err(AskError::NoSuchNode));
        assert_eq!(start.elapsed(), Duration::ZERO);
        net.cut(TWO);
        assert_eq!(one.ask(TWO, bytes("?"), SECOND).await, Err(AskError::TimedOut));
        assert_eq!(start.elapsed(), SECOND);
        two.publish(bytes("lost")).unwrap();
        net.heal(TWO);
        two.publish(bytes("heard")).unwrap();
        assert_eq!(shown(&mut of_two).await, r#"Published(b"heard")"#);
        drop(two);
        assert_eq!(shown(&mut of_two).await, "the end");
        assert_eq!(one.ask(TWO, bytes("?"), SECOND).await, Err(AskError::NoSuchNode));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_is_down_sends_nothing_and_receives_nothing() {
        let (net, [(one, mut of_one), (two, _of_two)]) = pair().await;
        net.set_up(ONE, false);
        assert_eq!(one.up_since(), None);
        assert_eq!(one.publish(bytes("a")), Err(NotPublished::Down));
        assert_eq!(one.ask(TWO, bytes("?"), SECOND).await, Err(AskError::Down));
        two.publish(bytes("b")).unwrap();
        net.set_up(ONE, true);
        two.publish(bytes("c")).unwrap();
        assert_eq!(shown(&mut of_one).await, r#"Down("the test says so")"#);
        assert_eq!(shown(&mut of_one).await, "Up");
        assert_eq!(shown(&mut of_one).await, r#"Published(b"c")"#);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_paused_node_sends_and_receives_comes_late_and_in_order() {
        let (net, [(one, mut of_one), (two, mut of_two)]) = pair().await;
        net.pause(TWO);
        one.publish(bytes("a")).unwrap();
        one.tell(TWO, bytes("b"));
        two.tell(ONE, bytes("c"));
        assert_eq!(one.ask(TWO, bytes("d"), SECOND).await, Err(AskError::TimedOut));
        assert_eq!(shown(&mut of_two).await, "nothing");
        assert_eq!(shown(&mut of_one).await, r#"Published(b"a")"#);
        assert_eq!(shown(&mut of_one).await, "nothing");
        net.resume(TWO);
        assert_eq!(shown(&mut of_one).await, r#"Told(b"c")"#);
        assert_eq!(shown(&mut of_two).await, r#"Published(b"a")"#);
        assert_eq!(shown(&mut of_two).await, r#"Told(b"b")"#);
        assert_eq!(shown(&mut of_two).await, r#"Asked(b"d", Answerer)"#);
    }

    #[tokio::test(start_paused = true)]
    async fn packets_are_lost_by_number() {
        let (net, [(one, mut of_one), (_two, mut of_two)]) = pair().await;
        net.lose_next(TWO, 1);
        net.lose_next_direct(TWO, 1);
        for text in ["a", "b"] {
            one.publish(bytes(text)).unwrap();
            one.tell(TWO, bytes(text));
        }
        assert_eq!(shown(&mut of_one).await, r#"Published(b"a")"#);
        assert_eq!(shown(&mut of_two).await, r#"Published(b"b")"#);
        assert_eq!(shown(&mut of_two).await, r#"Told(b"b")"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_has_room_when_the_test_says_so() {
        let (net, [(one, _of_one), (_two, _of_two)]) = pair().await;
        net.set_full(ONE, true);
        assert_eq!(one.publish(bytes("a")), Err(NotPublished::Full));
        assert!(tokio::time::timeout(SECOND, one.room()).await.is_err());
        let ((), ()) = tokio::join!(one.room(), async { net.set_full(ONE, false) });
        one.publish(bytes("a")).unwrap();
    }
}
