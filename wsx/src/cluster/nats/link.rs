//! One connection to NATS, from the moment it is proved to work: its queues, and the questions that
//! wait for an answer. Nothing of it survives its end. It does not read or write.
use super::{
    budget::{Budget, Most, Permit},
    subjects::Subjects,
};
use crate::cluster::bus::{AskError, NodeId, NotPublished};
use async_nats::Subject;
use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, timeout_at},
};

/// Published packets that wait: what the pace lets out in 40 ms. Too few, and a burst of changes
/// waits in the node. Too many, and what is new waits behind what is old.
const PUBLISHED: Most = Most { packets: 4_096, bytes: 16 << 20 };

/// Packets for one node whose sender does not wait. They are not paced, and leave at once.
const TOLD: Most = Most { packets: 1_024, bytes: 4 << 20 };

/// Questions that are not written yet. Their senders wait for room, up to their deadlines.
const ASKED: Most = Most { packets: 4_096, bytes: 16 << 20 };

/// Answers that are not written yet. The next ones are lost.
const ANSWERED: Most = Most { packets: 4_096, bytes: 16 << 20 };

/// Questions without an answer. Each takes about 200 bytes, without its payload, which is dropped
/// when it is written. The next ones wait, up to their deadlines.
const OPEN_QUESTIONS: usize = 65_536;

/// Longer packets are not sent, whatever the server allows: NATS advises against them, and half of
/// a queue of 16 MiB must hold one.
const LONGEST_PAYLOAD: usize = 8 << 20;

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    /// The first one is 1.
    pub(super) number: u64,
    pub(super) up_since: Instant,
    pub(super) max_payload: usize,
    pub(super) subjects: Arc<Subjects>,
    broadcasts: mpsc::Sender<Item>,
    direct: mpsc::Sender<Item>,
    published: Budget,
    told: Budget,
    asked: Budget,
    answered: Budget,
    open: Semaphore,
    questions: Mutex<HashMap<u64, Question>>,
    next_question: AtomicU64,
}

/// A packet that waits to be written.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) subject: Subject,
    pub(super) reply: Option<Subject>,
    pub(super) payload: Bytes,
    /// The number of the question that it is.
    pub(super) question: Option<u64>,
    pub(super) permit: Permit,
}

#[derive(Debug)]
struct Question {
    answer: oneshot::Sender<Result<Bytes, AskError>>,
    written: bool,
}

/// What the writers write.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) published: mpsc::Receiver<Item>,
    pub(super) direct: mpsc::Receiver<Item>,
}

impl Link {
    /// Returns a connection that works, and its queues.
    pub(super) fn new(number: u64, server_max_payload: usize, subjects: Arc<Subjects>) -> (Arc<Self>, Queues) {
        let (broadcasts, published) = mpsc::channel(PUBLISHED.packets as usize);
        // Each packet has a permit of one of the three, so it is never full.
        let most = TOLD.packets + ASKED.packets + ANSWERED.packets;
        let (direct, direct_items) = mpsc::channel(most as usize);
        let link = Self {
            number,
            up_since: Instant::now(),
            max_payload: server_max_payload.min(LONGEST_PAYLOAD),
            subjects,
            broadcasts,
            direct,
            published: Budget::new(PUBLISHED),
            told: Budget::new(TOLD),
            asked: Budget::new(ASKED),
            answered: Budget::new(ANSWERED),
            open: Semaphore::new(OPEN_QUESTIONS),
            questions: Mutex::default(),
            next_question: AtomicU64::new(0),
        };
        (Arc::new(link), Queues { published, direct: direct_items })
    }

    pub(super) fn publish(&self, payload: Bytes) -> Result<(), NotPublished> {
        let Some(permit) = self.published.take(payload.len()) else {
            return Err(if self.published.is_closed() { NotPublished::Down } else { NotPublished::Full });
        };
        let item = Item { subject: self.subjects.all.clone(), reply: None, payload, question: None, permit };
        self.broadcasts.try_send(item).map_err(|_| NotPublished::Down)
    }

    /// Waits until a packet of any length can be published, or until the end of the connection.
    pub(super) async fn room(&self) {
        // The room is free again at once.
        let _ = self.published.wait(self.max_payload).await;
    }

    pub(super) async fn flushed(&self) {
        for budget in [&self.published, &self.told, &self.asked, &self.answered] {
            budget.unused().await;
        }
    }

    /// Queues a packet, and says whether there was room.
    pub(super) fn tell(&self, node: NodeId, payload: Bytes) -> bool {
        let Some(permit) = self.told.take(payload.len()) else { return false };
        let subject = self.subjects.of(node);
        self.direct.try_send(Item { subject, reply: None, payload, question: None, permit }).is_ok()
    }

    /// Queues an answer, and says whether there was room.
    pub(super) fn answer(&self, subject: Subject, payload: Bytes) -> bool {
        let Some(permit) = self.answered.take(payload.len()) else { return false };
        self.direct.try_send(Item { subject, reply: None, payload, question: None, permit }).is_ok()
    }

    pub(super) async fn ask(&self, node: NodeId, payload: Bytes, timeout: Duration) -> Result<Bytes, AskError> {
        let deadline = Instant::now() + timeout;
        let waiting = async {
            let _open = self.open.acquire().await.map_err(|_| AskError::Down)?;
            let permit = self.asked.wait(payload.len()).await.ok_or(AskError::Down)?;
            let number = self.next_question.fetch_add(1, Relaxed);
            let (answer, answered) = oneshot::channel();
            self.questions().insert(number, Question { answer, written: false });
            let _forgotten = Forgotten { link: self, number };
            // `end` may have answered all questions already.
            if self.open.is_closed() {
                return Err(AskError::Down);
            }
            let (subject, reply) = (self.subjects.of(node), self.subjects.reply(number));
            let item = Item { subject, reply: Some(reply), payload, question: Some(number), permit };
            self.direct.try_send(item).map_err(|_| AskError::Down)?;
            // `end` answers all questions before it forgets them.
            answered.await.unwrap_or(Err(AskError::TimedOut))
        };
        timeout_at(deadline, waiting).await.unwrap_or(Err(AskError::TimedOut))
    }

    /// Whether anybody still waits for the answer to a question that is about to be written.
    pub(super) fn write_question(&self, number: u64) -> bool {
        match self.questions().get_mut(&number) {
            Some(question) => {
                question.written = true;
                true
            }
            None => false,
        }
    }

    /// An answer has come. Nobody waits for one that is late.
    pub(super) fn answered(&self, number: u64, answer: Result<Bytes, AskError>) {
        let question = self.questions().remove(&number);
        if let Some(question) = question {
            // The asker may have given up.
            let _ = question.answer.send(answer);
        }
    }

    /// Ends the waits of all.
    pub(super) fn end(&self) {
        for budget in [&self.published, &self.told, &self.asked, &self.answered] {
            budget.close();
        }
        self.open.close();
        let questions = std::mem::take(&mut *self.questions());
        for (_, Question { answer, written }) in questions {
            let _ = answer.send(Err(if written { AskError::TimedOut } else { AskError::Down }));
        }
    }

    fn questions(&self) -> MutexGuard<'_, HashMap<u64, Question>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a question whose asker has an answer, or has given up.
struct Forgotten<'l> {
    link: &'l Link,
    number: u64,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.link.questions().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NODE: NodeId = NodeId(2);

    fn link() -> (Arc<Link>, Queues) {
        Link::new(1, 1 << 20, Arc::new(Subjects::new("wsx", NodeId(1))))
    }

    /// Row J11: published packets wait up to a number and a size.
    #[tokio::test(start_paused = true)]
    async fn published_packets_wait_up_to_a_number_and_a_size() {
        let (link, mut queues) = link();
        let published = (0..10_000).take_while(|_| link.publish(Bytes::new()).is_ok()).count();
        assert_eq!(published, 4_096);
        assert_eq!(link.publish(Bytes::new()), Err(NotPublished::Full));
        assert!(tokio::time::timeout(SECOND, link.room()).await.is_err());
        while queues.published.try_recv().is_ok() {}
        let long = Bytes::from(vec![0; 1 << 20]);
        let published = (0..10_000).take_while(|_| link.publish(long.clone()).is_ok()).count();
        assert_eq!(published, 16);
        let (room, ()) = tokio::join!(tokio::time::timeout(SECOND, link.room()), async {
            drop(queues.published.recv().await);
        });
        room.unwrap();
        link.publish(long).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn told_packets_and_answers_wait_up_to_a_number_and_the_next_are_lost() {
        let (link, _queues) = link();
        assert_eq!((0..10_000).take_while(|_| link.tell(NODE, Bytes::new())).count(), 1_024);
        let subject = link.subjects.probe.clone();
        assert_eq!((0..10_000).take_while(|_| link.answer(subject.clone(), Bytes::new())).count(), 4_096);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_nobody_waits_for_is_forgotten_and_not_written() {
        let (link, mut queues) = link();
        assert_eq!(link.ask(NODE, Bytes::new(), SECOND).await, Err(AskError::TimedOut));
        let item = queues.direct.recv().await.unwrap();
        assert!(!link.write_question(item.question.unwrap()));
        assert!(link.questions().is_empty());
        drop(item);
        link.flushed().await;
    }

    #[tokio::test(start_paused = true)]
    async fn questions_beyond_the_room_wait_for_it_until_their_deadline() {
        let (link, mut queues) = link();
        let long = Bytes::from(vec![0; 8 << 20]);
        let ask = |timeout| link.ask(NODE, long.clone(), timeout);
        let start = Instant::now();
        let (one, two, three, ()) = tokio::join!(ask(SECOND * 9), ask(SECOND * 9), ask(SECOND), async {
            for _ in 0..2 {
                let item = queues.direct.recv().await.unwrap();
                tokio::time::sleep(SECOND).await;
                link.answered(item.question.unwrap(), Ok(Bytes::from_static(b"yes")));
            }
        });
        assert_eq!((one.as_deref(), two.as_deref()), (Ok(&b"yes"[..]), Ok(&b"yes"[..])));
        assert_eq!(three, Err(AskError::TimedOut));
        assert_eq!(start.elapsed(), SECOND * 2);
    }

    /// Row J3: the end says which questions were not sent.
    #[tokio::test(start_paused = true)]
    async fn the_end_says_which_questions_were_not_sent() {
        let (link, mut queues) = link();
        let ask = || link.ask(NODE, Bytes::new(), SECOND);
        let (one, two, (), ()) = tokio::join!(ask(), ask(), link.flushed(), async {
            let item = queues.direct.recv().await.unwrap();
            assert!(link.write_question(item.question.unwrap()));
            link.end();
        });
        assert_eq!([one, two], [Err(AskError::TimedOut), Err(AskError::Down)]);
        drop(queues);
        assert_eq!(link.publish(Bytes::new()), Err(NotPublished::Down));
        assert_eq!(ask().await, Err(AskError::Down));
        link.room().await;
    }
}
