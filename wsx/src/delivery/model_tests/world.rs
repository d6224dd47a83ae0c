//! One state of a sender and a receiver with their stores, and the link between them. It knows
//! which steps are possible, and checks what the receiver handles. It does not know which states
//! were visited.
use crate::{
    delivery::{
        Time, Why,
        incoming::{Arrival, Incoming},
        lane::Lane,
        message::Message,
        outgoing::{Outgoing, Record},
        sending::Step as Sending,
        size::Room,
    },
    envelope::kept::KeptMessage,
    policy::{Delivery, Full, Policy},
    protocol::verdict::Verdict,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The bytes of a message. Two of them fill the smallest window.
const LENGTH: usize = 1400;

/// A message of the program, by its place in the script.
pub(super) type Id = usize;

/// What the program sends, and what may go wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    pub(super) messages: Vec<Policy>,
    /// How many things may go wrong in all.
    pub(super) faults: u8,
    /// How many of them may be of this kind.
    pub(super) breaks: u8,
    pub(super) sender_crashes: u8,
    pub(super) receiver_crashes: u8,
    /// The receiver has a store. Otherwise it remembers only while it runs.
    pub(super) receiver_stores: bool,
    /// A commit of a message of the program may fail.
    pub(super) failed_commits: u8,
    /// An older copy of the store may be put back at a restart.
    pub(super) sender_rollbacks: u8,
    pub(super) receiver_rollbacks: u8,
    /// The clock of the sender is put back with its store.
    pub(super) bad_clock: bool,
    /// Handlers run at the same time.
    pub(super) concurrent: bool,
    /// The sender keeps this many messages at most. 0 is as many as it likes.
    pub(super) room: usize,
    /// The receiver begins as a version that does not understand the type of this message, and is
    /// updated at some time.
    pub(super) unread: Option<Policy>,
    /// An older version of the receiver may be put back.
    pub(super) downgrades: u8,
}

impl Script {
    /// Returns a script in which links break and programs crash.
    pub(super) fn of(messages: &[Policy]) -> Self {
        Self {
            messages: messages.to_vec(),
            breaks: u8::MAX,
            sender_crashes: u8::MAX,
            receiver_crashes: u8::MAX,
            receiver_stores: true,
            ..Self::default()
        }
    }

    /// Whether an old receiver does not understand this message.
    fn is_unread(&self, id: Id) -> bool {
        self.unread.is_some_and(|unread| type_of(&unread) == type_of(&self.messages[id]))
    }
}

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Send,
    CommitOfSender,
    FailedCommitOfSender,
    CommitOfReceiver,
    Connect,
    /// The receiver takes the next frame of the link.
    Receive,
    /// The receiver takes the next frame that had arrived before the link broke.
    ReceiveLate,
    ReceiveAcknowledgement,
    HandlerEnds(usize),
    HandlerIsDropped(usize),
    Acknowledge,
    TimePasses,
    StartSender,
    StartReceiver,
    UpdateReceiver,
    DowngradeReceiver,
    /// The link breaks after so many frames have arrived.
    Break(usize),
    CrashOfSender(usize),
    CrashOfReceiver,
    CopyStoreOfSender,
    CopyStoreOfReceiver,
    StartSenderWithCopy,
    StartReceiverWithCopy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Frame {
    Begin,
    Skip { from: u64, to: u64, why: Why },
    Message { lane: Lane, number: u64, id: Id },
    Acknowledgement { seq: u64, latest: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Message(bool, u64),
    Skip(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Value {
    Message { id: Id, is_settled: bool, is_held: bool },
    Skip { to: u64, why: Why },
}

type SenderStore = BTreeMap<Key, Value>;

/// Changes of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Batch {
    changes: Vec<(Key, Option<Value>)>,
    /// The messages that wait for this commit.
    accepts: Vec<(Lane, u64, Id)>,
    /// It is of a message that the program has just sent. It fails if the store cannot take it.
    is_optional: bool,
}

#[derive(Debug, Clone, Default, Hash)]
struct Link {
    token: u8,
    to_receiver: VecDeque<Frame>,
    to_sender: VecDeque<Frame>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Running {
    token: u8,
    lane: Lane,
    number: u64,
    id: Id,
}

#[derive(Debug, Clone, Default, Hash)]
struct Receiver {
    incoming: Incoming,
    /// The connection that began last.
    token: u8,
    begin_waits: bool,
    /// The handled numbers that the store has, or may be acknowledged without one.
    stored: [u64; 2],
    is_acknowledged: bool,
    running: Vec<Running>,
    /// Frames that had arrived when the link broke.
    late: VecDeque<(u8, Frame)>,
}

/// What has happened to a message, as an observer of both programs sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Fate {
    is_accepted: bool,
    /// The sender's store was put back to a time before it, or its commit failed.
    is_lost: bool,
    /// Its time is over.
    is_expired: bool,
    number: u64,
    is_handled: bool,
    /// It was handled since the receiver has forgotten everything.
    is_known: bool,
    /// The receiver or the sender has lost what it knew of it, so it may be handled again.
    may_come_again: bool,
    is_reported: bool,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    sender: Option<Outgoing>,
    sender_store: SenderStore,
    sender_queue: VecDeque<Batch>,
    sender_copy: Option<(SenderStore, u64)>,
    /// How often the sender was started, which is its clock.
    starts: u64,
    now: Time,
    receiver: Option<Receiver>,
    receiver_store: [u64; 2],
    receiver_queue: VecDeque<[u64; 2]>,
    receiver_copy: Option<[u64; 2]>,
    /// The receiver does not understand the type that the script names.
    is_old: bool,
    link: Option<Link>,
    links: u8,
    sent: usize,
    fates: Vec<Fate>,
    has_rolled_back: bool,
    /// What may still go wrong.
    left: Script,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let left = &self.left;
        let Self { sender, sender_store, sender_queue, sender_copy, starts, now, receiver, .. } = self;
        (sender, sender_store, sender_queue, sender_copy, starts, now, receiver).hash(state);
        let Self { receiver_store, receiver_queue, receiver_copy, link, links, sent, fates, has_rolled_back, .. } =
            self;
        (receiver_store, receiver_queue, receiver_copy, link, links, sent, fates, has_rolled_back).hash(state);
        (self.is_old, left.downgrades).hash(state);
        (left.faults, left.breaks, left.sender_crashes, left.receiver_crashes).hash(state);
        (left.failed_commits, left.sender_rollbacks, left.receiver_rollbacks).hash(state);
    }
}

impl World {
    pub(super) fn new(script: &Script) -> Self {
        Self {
            sender: Some(Outgoing::default()),
            sender_store: SenderStore::new(),
            sender_queue: VecDeque::new(),
            sender_copy: None,
            starts: 0,
            now: Time::default(),
            receiver: Some(Receiver { is_acknowledged: true, ..Receiver::default() }),
            receiver_store: [0, 0],
            receiver_queue: VecDeque::new(),
            receiver_copy: None,
            is_old: script.unread.is_some(),
            link: None,
            links: 0,
            sent: 0,
            fates: vec![Fate::default(); script.messages.len()],
            has_rolled_back: false,
            left: script.clone(),
        }
    }

    /// Returns the steps that happen by themselves, and those that go wrong.
    pub(super) fn steps(&self) -> (Vec<Step>, Vec<Step>) {
        let (mut steps, mut faults) = (Vec::new(), Vec::new());
        let mut add = |condition: bool, step| {
            if condition {
                steps.push(step);
            }
        };
        let (sender, receiver, link) = (self.sender.is_some(), self.receiver.as_ref(), self.link.as_ref());
        add(sender && self.sent < self.left.messages.len(), Step::Send);
        add(sender && !self.sender_queue.is_empty(), Step::CommitOfSender);
        add(!self.receiver_queue.is_empty(), Step::CommitOfReceiver);
        add(sender && receiver.is_some() && link.is_none(), Step::Connect);
        add(!sender, Step::StartSender);
        add(receiver.is_none(), Step::StartReceiver);
        add(receiver.is_some() && self.is_old, Step::UpdateReceiver);
        let has_ttl = self.left.messages.iter().any(|policy| policy.ttl.is_some());
        add(has_ttl && sender && self.now == Time::default() && self.sent > 0, Step::TimePasses);
        if let Some(receiver) = receiver {
            let is_free =
                |token| self.left.concurrent || !receiver.running.iter().any(|running| running.token == token);
            let next = link.filter(|link| !link.to_receiver.is_empty());
            add(next.is_some_and(|link| is_free(link.token)), Step::Receive);
            add(receiver.late.front().is_some_and(|(token, _)| is_free(*token)), Step::ReceiveLate);
            for (at, running) in receiver.running.iter().enumerate() {
                add(true, Step::HandlerEnds(at));
                add(link.is_none_or(|link| link.token != running.token), Step::HandlerIsDropped(at));
            }
            let is_on = link.is_some_and(|link| link.token == receiver.token);
            add(
                is_on && !receiver.begin_waits && !receiver.is_acknowledged && receiver.stored != [0, 0],
                Step::Acknowledge,
            );
        }
        add(sender && link.is_some_and(|link| !link.to_sender.is_empty()), Step::ReceiveAcknowledgement);

        let left = &self.left;
        let mut add = |condition: bool, step| {
            if condition {
                faults.push(step);
            }
        };
        let older = self.sender_copy.as_ref().is_some_and(|(copy, _)| *copy != self.sender_store);
        add(!sender && older && left.sender_rollbacks > 0, Step::StartSenderWithCopy);
        let older = self.receiver_copy.is_some_and(|copy| copy != self.receiver_store);
        add(receiver.is_none() && older && left.receiver_rollbacks > 0, Step::StartReceiverWithCopy);
        if left.faults == 0 {
            return (steps, faults);
        }
        let arrived = || 0..=link.map_or(0, |link| link.to_receiver.len());
        arrived().for_each(|frames| add(link.is_some() && left.breaks > 0, Step::Break(frames)));
        arrived().for_each(|frames| add(sender && left.sender_crashes > 0, Step::CrashOfSender(frames)));
        add(receiver.is_some() && left.receiver_crashes > 0, Step::CrashOfReceiver);
        add(receiver.is_some() && !self.is_old && left.downgrades > 0, Step::DowngradeReceiver);
        let accepts = self.sender_queue.front().is_some_and(|batch| batch.is_optional);
        add(sender && accepts && left.failed_commits > 0, Step::FailedCommitOfSender);
        add(left.sender_rollbacks > 0 && self.sender_copy.is_none(), Step::CopyStoreOfSender);
        add(left.receiver_rollbacks > 0 && self.receiver_copy.is_none(), Step::CopyStoreOfReceiver);
        (steps, faults)
    }

    /// Does a step. Returns what is wrong with it.
    pub(super) fn act(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Send => self.send(),
            Step::CommitOfSender => self.commit_of_sender(),
            Step::FailedCommitOfSender => {
                let batch = self.sender_queue.pop_front().expect("a commit waits");
                let (lane, number, id) = batch.accepts[0];
                self.fates[id].is_lost = true;
                self.with_sender(|sender, _| sender.refused(lane, number));
                self.left.faults -= 1;
                self.left.failed_commits -= 1;
            }
            Step::CommitOfReceiver => {
                let numbers = self.receiver_queue.pop_front().expect("a commit waits");
                self.receiver_store = numbers;
                if let Some(receiver) = &mut self.receiver {
                    receiver.stored = numbers;
                    receiver.is_acknowledged = false;
                    self.answer_begin();
                }
            }
            Step::Connect => {
                self.links += 1;
                self.link = Some(Link { token: self.links, ..Link::default() });
                let withheld = self.left.unread.filter(|_| self.is_old).map(|policy| type_of(&policy).into());
                let verdict = Verdict { withheld: withheld.into_iter().collect(), ..Verdict::default() };
                self.with_sender(|sender, _| sender.attach(Some(Arc::new(verdict))));
            }
            Step::Receive => {
                let link = self.link.as_mut().expect("there is a link");
                let (token, frame) = (link.token, link.to_receiver.pop_front().expect("a frame waits"));
                self.receive(token, frame)?;
            }
            Step::ReceiveLate => {
                let receiver = self.receiver.as_mut().expect("the receiver runs");
                let (token, frame) = receiver.late.pop_front().expect("a frame waits");
                self.receive(token, frame)?;
            }
            Step::ReceiveAcknowledgement => {
                let link = self.link.as_mut().expect("there is a link");
                let Some(Frame::Acknowledgement { seq, latest }) = link.to_sender.pop_front() else {
                    return Err("the receiver sends only acknowledgements".to_owned());
                };
                self.with_sender(|sender, now| drop(sender.acknowledged(seq, latest, &[], now)));
            }
            Step::HandlerEnds(at) => self.handler_ends(at)?,
            Step::HandlerIsDropped(at) => {
                let receiver = self.receiver.as_mut().expect("the receiver runs");
                let Running { lane, number, .. } = receiver.running.remove(at);
                receiver.incoming.dropped(lane, number);
                self.handled();
            }
            Step::Acknowledge => self.acknowledge(),
            Step::TimePasses => {
                self.now = Time::from_millis(1);
                for (fate, policy) in self.fates.iter_mut().zip(&self.left.messages) {
                    fate.is_expired |= policy.ttl.is_some() && fate.number > 0;
                }
                let lowest = self.lowest();
                self.with_sender(|sender, now| drop(sender.expire(now, lowest)));
            }
            Step::StartSender => {
                self.starts += 1;
                self.start_sender(self.sender_store.clone());
            }
            Step::StartReceiver => self.start_receiver(),
            Step::Break(arrived) => {
                self.cut(arrived);
                self.left.breaks -= 1;
                self.left.faults -= 1;
            }
            Step::CrashOfSender(arrived) => {
                self.cut(arrived);
                self.sender = None;
                self.sender_queue.clear();
                self.left.sender_crashes -= 1;
                self.left.faults -= 1;
            }
            Step::UpdateReceiver => {
                self.end_receiver();
                self.is_old = false;
                self.start_receiver();
            }
            Step::DowngradeReceiver => {
                self.end_receiver();
                self.is_old = true;
                self.start_receiver();
                self.left.downgrades -= 1;
                self.left.faults -= 1;
            }
            Step::CrashOfReceiver => {
                self.end_receiver();
                self.left.receiver_crashes -= 1;
                self.left.faults -= 1;
            }
            Step::CopyStoreOfSender => self.sender_copy = Some((self.sender_store.clone(), self.starts)),
            Step::CopyStoreOfReceiver => self.receiver_copy = Some(self.receiver_store),
            Step::StartSenderWithCopy => {
                let (copy, starts) = self.sender_copy.clone().expect("there is a copy");
                self.starts = if self.left.bad_clock { starts } else { self.starts + 1 };
                self.left.sender_rollbacks -= 1;
                self.has_rolled_back = true;
                let kept =
                    |id| copy.values().any(|value| matches!(value, Value::Message { id: own, .. } if *own == id));
                for (id, fate) in self.fates.iter_mut().enumerate().take(self.sent) {
                    fate.is_lost |= !kept(id);
                }
                self.start_sender(copy);
            }
            Step::StartReceiverWithCopy => {
                self.left.receiver_rollbacks -= 1;
                self.receiver_store = self.receiver_copy.expect("there is a copy");
                self.start_receiver();
            }
        }
        Ok(())
    }

    /// Returns what is missing when nothing more happens by itself.
    pub(super) fn missing_at_rest(&self) -> Option<String> {
        let sender = self.sender.as_ref()?;
        if sender.messages() > 0 {
            return Some("the sender still keeps messages".to_owned());
        }
        for (id, fate) in self.fates.iter().enumerate().filter(|(_, fate)| fate.is_accepted && !fate.is_lost) {
            let is_newest = !self.fates[id + 1..].iter().zip(&self.left.messages[id + 1..]).any(|(later, policy)| {
                (later.is_accepted && !later.is_lost || later.is_known) && self.is_same_slot(id, policy)
            });
            let is_missing = match self.left.messages[id].delivery {
                Delivery::AtLeastOnce => !fate.is_handled && !fate.is_reported,
                Delivery::Latest => is_newest && !fate.is_handled && !fate.is_expired,
                _ => is_newest && !fate.is_known,
            };
            if is_missing {
                return Some(format!("message {id} was never handled, and no gap was reported"));
            }
        }
        None
    }

    fn is_same_slot(&self, id: Id, other: &Policy) -> bool {
        let own = &self.left.messages[id];
        own.delivery == other.delivery && own.delivery != Delivery::AtLeastOnce
    }

    fn send(&mut self) {
        let id = self.sent;
        self.sent += 1;
        let policy = self.left.messages[id];
        let messages = match self.left.room {
            0 => 100,
            room => room.saturating_sub(self.sender.as_ref().expect("the sender runs").messages()),
        };
        let (before, mut accepted, lowest) = (self.sender_queue.len(), None, self.lowest());
        self.with_sender(|sender, now| {
            let message = Message::new(text(id, policy), now, None);
            accepted =
                sender.accept(message, lowest, Room { messages, bytes: 1 << 20 }).ok().map(|accepted| accepted.place);
        });
        // The engine gives the new message to the store before the changes that it causes.
        let Some((lane, number)) = accepted else { return };
        self.fates[id].number = number;
        let batch = Batch {
            changes: vec![(key(lane, number), Some(Value::Message { id, is_settled: false, is_held: false }))],
            accepts: vec![(lane, number, id)],
            is_optional: true,
        };
        self.sender_queue.insert(before, batch);
    }

    /// Returns the lowest new number, which is higher than all before the last start: the clock of
    /// the store goes on.
    fn lowest(&self) -> u64 {
        1 + 100 * self.starts
    }

    fn commit_of_sender(&mut self) {
        let Batch { changes, accepts, .. } = self.sender_queue.pop_front().expect("a commit waits");
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.sender_store.insert(key, value)),
                None => drop(self.sender_store.remove(&key)),
            }
        }
        for (lane, number, id) in accepts {
            self.fates[id].is_accepted = true;
            self.with_sender(|sender, _| sender.stored(lane, number));
        }
    }

    /// Calls the sender as the engine does: what may be sent is sent, and changes go to the store.
    fn with_sender(&mut self, call: impl FnOnce(&mut Outgoing, Time)) {
        let lowest = self.lowest();
        let sender = self.sender.as_mut().expect("the sender runs");
        let held: Vec<Id> = sender.held_in(Lane::Seq).map(|(_, message)| id_of(&message.kept.text)).collect();
        call(sender, self.now);
        while let Some(step) = sender.next(self.now) {
            let frame = match step {
                Sending::Begin { .. } => Frame::Begin,
                Sending::Skip { from, to, why } => Frame::Skip { from, to, why },
                Sending::Message { number, message } => {
                    let lane = Lane::of(message.kept.policy.delivery);
                    Frame::Message { lane, number, id: id_of(&message.kept.text) }
                }
                Sending::Expire => {
                    sender.expire(self.now, lowest);
                    continue;
                }
                // The engine gives this to the store before it goes on; nothing passes it.
                Sending::Hold => {
                    assert!(!sender.hold().is_empty(), "it would ask for ever");
                    continue;
                }
            };
            self.link.as_mut().expect("the sender is attached").to_receiver.push_back(frame);
        }
        let records = sender.take_records();
        let accepts: Vec<_> = records.iter().filter_map(|record| unstored(sender, record)).collect();
        let skipped: Vec<u64> = records.iter().filter_map(last_skipped).collect();
        let changes: Vec<_> = records.into_iter().filter_map(|record| change(sender, &record)).collect();
        let mut left = held;
        for (number, message) in sender.waiting() {
            let id = id_of(&message.kept.text);
            self.fates[id].number = number;
            left.retain(|other| *other != id);
        }
        // New numbers are skipped instead of those of held messages.
        let last = skipped.into_iter().max().unwrap_or(0);
        (0..).zip(left.iter().rev()).for_each(|(before, id)| self.fates[*id].number = last - before);
        if !changes.is_empty() {
            self.sender_queue.push_back(Batch { changes, accepts, is_optional: false });
        }
    }

    fn start_sender(&mut self, store: SenderStore) {
        let mut sender = Outgoing::default();
        for (key, value) in &store {
            match (*key, *value) {
                (Key::Message(is_latest, number), Value::Message { id, is_settled, is_held }) => {
                    let lane = if is_latest { Lane::Latest } else { Lane::Seq };
                    let policy = self.left.messages[id];
                    let expires = policy.ttl.map(|ttl| Time::default().after(ttl));
                    let message = Message::restored(text(id, policy), Time::default(), expires, is_held, None);
                    sender.restore(lane, number, message, is_settled);
                    self.fates[id].number = number;
                }
                (Key::Skip(from), Value::Skip { to, why }) => sender.restore_skip(from, to, why),
                _ => unreachable!("a key has a value of its kind"),
            }
        }
        self.sender = Some(sender);
        self.sender_store = store;
    }

    fn end_receiver(&mut self) {
        self.cut(0);
        self.receiver = None;
        self.receiver_queue.clear();
        if !self.left.receiver_stores {
            self.receiver_store = [0, 0];
        }
    }

    fn start_receiver(&mut self) {
        let [seq, latest] = self.receiver_store;
        self.receiver = Some(Receiver {
            incoming: Incoming::restored(seq, latest),
            stored: self.receiver_store,
            is_acknowledged: true,
            ..Receiver::default()
        });
        for (fate, policy) in self.fates.iter_mut().zip(&self.left.messages) {
            let remembered = self.receiver_store[usize::from(Lane::of(policy.delivery) == Lane::Latest)];
            fate.may_come_again |= fate.number > remembered;
            fate.is_known &= remembered > 0;
        }
    }

    /// Breaks the link, if there is one, after some frames have arrived.
    fn cut(&mut self, arrived: usize) {
        let Some(link) = self.link.take() else { return };
        if let Some(sender) = &mut self.sender {
            sender.detach();
        }
        if let Some(receiver) = &mut self.receiver {
            receiver.late.extend(link.to_receiver.into_iter().take(arrived).map(|frame| (link.token, frame)));
        }
    }

    fn receive(&mut self, token: u8, frame: Frame) -> Result<(), String> {
        let receiver = self.receiver.as_mut().expect("the receiver runs");
        let mut gaps = Vec::new();
        match frame {
            Frame::Begin => {
                // An older connection than the one that began last does not count.
                if token > receiver.token {
                    receiver.token = token;
                    receiver.begin_waits = true;
                    self.answer_begin();
                }
            }
            _ if token != receiver.token || receiver.begin_waits => {}
            Frame::Skip { from, to, why } => {
                let (missing, _) = receiver.incoming.skip(from, to, why);
                gaps.extend(missing.into_iter().map(|(from, to, _)| (from, to)));
                self.handled();
            }
            Frame::Message { id, .. } if self.is_old && self.left.is_unread(id) => {
                return Err(format!("message {id} is sent, and the receiver does not understand it"));
            }
            Frame::Message { lane, number, id } => match receiver.incoming.start(lane, number) {
                Arrival::Handle { missing } => {
                    gaps.extend(missing);
                    receiver.running.push(Running { token, lane, number, id });
                }
                Arrival::Duplicate => self.handled(),
                Arrival::Later => {}
            },
            Frame::Acknowledgement { .. } => return Err("the sender does not acknowledge".to_owned()),
        }
        for (from, to) in gaps {
            let is_seq = |policy: &Policy| Lane::of(policy.delivery) == Lane::Seq;
            for (fate, policy) in self.fates.iter_mut().zip(&self.left.messages) {
                fate.is_reported |= is_seq(policy) && (from..=to).contains(&fate.number);
            }
        }
        Ok(())
    }

    fn handler_ends(&mut self, at: usize) -> Result<(), String> {
        let receiver = self.receiver.as_mut().expect("the receiver runs");
        let Running { lane, number, id, .. } = receiver.running.remove(at);
        receiver.incoming.end(lane, number);
        let is_first = !self.fates[id].is_handled;
        if !is_first && !self.fates[id].may_come_again {
            return Err(format!("message {id} is handled twice"));
        }
        for (other, fate) in self.fates.iter().enumerate() {
            let policy = self.left.messages[other];
            let is_gone = fate.is_handled || fate.is_reported || fate.is_lost || !fate.is_accepted;
            if lane == Lane::Seq
                && Lane::of(policy.delivery) == Lane::Seq
                && other < id
                && !is_gone
                && (self.left.is_unread(id) || !self.left.is_unread(other))
                && !self.left.concurrent
            {
                return Err(format!("message {id} overtakes message {other}, which is neither handled nor reported"));
            }
            if other > id
                && self.is_same_slot(id, &policy)
                && fate.is_handled
                && is_first
                && !self.has_rolled_back
                && !self.left.concurrent
            {
                return Err(format!("message {id} comes after the newer message {other}"));
            }
        }
        let fate = &mut self.fates[id];
        (fate.is_handled, fate.is_known, fate.may_come_again) = (true, true, false);
        self.handled();
        self.answer_begin();
        Ok(())
    }

    /// Gives the handled numbers to the store. They are acknowledged when it has them.
    fn handled(&mut self) {
        let receiver = self.receiver.as_mut().expect("the receiver runs");
        let numbers = [receiver.incoming.handled(Lane::Seq), receiver.incoming.handled(Lane::Latest)];
        receiver.is_acknowledged = false;
        if !self.left.receiver_stores {
            receiver.stored = numbers;
        } else if numbers != *self.receiver_queue.back().unwrap_or(&receiver.stored) {
            self.receiver_queue.push_back(numbers);
        }
        self.answer_begin();
    }

    /// Answers a begin, if the handlers of earlier connections have ended.
    fn answer_begin(&mut self) {
        let receiver = self.receiver.as_mut().expect("the receiver runs");
        let numbers = [receiver.incoming.handled(Lane::Seq), receiver.incoming.handled(Lane::Latest)];
        if receiver.begin_waits && !receiver.incoming.is_running() && numbers == receiver.stored {
            receiver.begin_waits = false;
            receiver.incoming.begin();
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        let receiver = self.receiver.as_mut().expect("the receiver runs");
        let [seq, latest] = receiver.stored;
        receiver.is_acknowledged = true;
        if let Some(link) = self.link.as_mut().filter(|link| link.token == receiver.token) {
            link.to_sender.push_back(Frame::Acknowledgement { seq, latest });
        }
    }
}

fn key(lane: Lane, number: u64) -> Key {
    Key::Message(lane == Lane::Latest, number)
}

fn change(sender: &Outgoing, record: &Record) -> Option<(Key, Option<Value>)> {
    Some(match *record {
        Record::Put(lane, number) => {
            let (message, is_settled) = sender.stored_form(lane, number)?;
            (
                key(lane, number),
                Some(Value::Message { id: id_of(&message.kept.text), is_settled, is_held: message.is_held }),
            )
        }
        Record::Delete(lane, number) | Record::Withdraw(lane, number) => (key(lane, number), None),
        Record::Skip(from, to, why) => (Key::Skip(from), Some(Value::Skip { to, why })),
        Record::EndSkip(from) => (Key::Skip(from), None),
    })
}

/// Returns the message of this record, if it is sent only after the store has it.
fn unstored(sender: &Outgoing, record: &Record) -> Option<(Lane, u64, Id)> {
    let Record::Put(lane, number) = *record else { return None };
    let (message, _) = sender.stored_form(lane, number)?;
    (!message.is_stored).then(|| (lane, number, id_of(&message.kept.text)))
}

fn text(id: Id, policy: Policy) -> KeptMessage {
    let text = format!("{{\"type\":\"m\",\"data\":\"{id:0>LENGTH$}\"}}");
    KeptMessage::new(type_of(&policy).into(), policy, None, Bytes::from(text)).expect("it has data")
}

fn type_of(policy: &Policy) -> &'static str {
    if policy.full == Full::DropOldest { "dropped" } else { policy.delivery.name() }
}

/// Returns the last number that is skipped, if this record skips numbers.
fn last_skipped(record: &Record) -> Option<u64> {
    if let Record::Skip(_, to, _) = record { Some(*to) } else { None }
}

fn id_of(text: &[u8]) -> Id {
    Id::from(text[text.len() - 3] - b'0')
}
