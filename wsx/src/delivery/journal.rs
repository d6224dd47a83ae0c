//! The journal of kept messages: a thread that commits changes to the store, many at once.
//!
//! It does not know messages, peers or tokio.
use super::store::{Change, Store};
use crate::{
    catch_panic,
    error::{StoreError, StoreErrorKind},
};
use std::{
    collections::{HashSet, VecDeque},
    fmt, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

/// Maximum number of changes in one commit. Too low: a slow disk syncs too often. Too high: the
/// first message of a commit waits for the last one to be written.
const MAX_CHANGES: usize = 4096;

/// Maximum number of bytes in one commit, for the same reasons.
const MAX_BYTES: usize = 4 << 20;

/// After this time, changes that failed are tried again. Too low: a disk that is full has much to
/// do. Too high: the changes are not durable for longer than the disk's problem.
const RETRY: Duration = Duration::from_secs(1);

/// Maximum time that the end of a journal waits for its store. Too low: a slow disk loses what was
/// queued. Too high: a disk that hangs delays the end of the program.
const GRACE: Duration = Duration::from_secs(5);

/// What happens to changes whose commit failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They are dropped: the program gets the error, so nobody relies on them.
    Optional,
    /// They are tried again until they are durable.
    Required,
}

/// Runs in the journal's thread, so it must be short.
pub(crate) type Then = Box<dyn FnOnce(Result<(), Arc<StoreError>>) + Send>;

/// A handle of the journal. Clones are the same journal.
///
/// The end of the last handle waits until the queued changes are durable, for at most 5 s: a store
/// that hangs does not hang the program. It does not wait in the journal's own thread. What the
/// store cannot write then gets its error.
///
/// # Memory
///
/// The queue has no bound of its own, because `submit` never waits. While a disk hangs, it grows by
/// what the engine submits: at most the messages that an outbox or mailbox may hold, since those
/// that wait for the disk count, and one write of the handled numbers of each inbox. Required
/// changes that failed are merged by their keys, so they are at most one for each key.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Owner>);

/// The last handle ends the thread.
struct Owner {
    shared: Arc<Shared>,
    /// The journal's thread, which must not wait for itself.
    thread: ThreadId,
}

struct Shared {
    state: Mutex<State>,
    /// Something was queued, or the phase is another one.
    changed: Condvar,
}

struct State {
    queue: VecDeque<Submission>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is a handle.
    Open,
    /// There is not a handle any more, and the thread commits what is queued.
    Closing,
    /// The thread has dropped its store.
    Ended,
}

struct Submission {
    changes: Vec<Change>,
    fate: Fate,
    then: Then,
}

impl Journal {
    /// Loads the store through `each`, in this thread, and starts the journal's thread.
    ///
    /// `on_error` runs in the journal's thread when a commit has failed, unless its required part
    /// could be written alone: once, and again only after a commit has succeeded.
    ///
    /// # Errors
    ///
    /// The store cannot be loaded, or the system does not start a thread.
    pub(crate) fn start(
        mut store: impl Store,
        mut each: impl FnMut(&str, &[u8]),
        on_error: Box<dyn Fn(&StoreError) + Send>,
    ) -> Result<Self, StoreError> {
        guarded(|| store.load(&mut each))?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State { queue: VecDeque::new(), phase: Phase::Open }),
            changed: Condvar::new(),
        });
        let unwritten = Unwritten::default();
        let mut worker = Worker { store, shared: shared.clone(), on_error, is_reported: false, unwritten };
        let ended = Ended(shared.clone());
        let thread = thread::Builder::new()
            .name("wsx-store".to_owned())
            .spawn(move || {
                // Dropped after the worker, and so after its store.
                let _ended = ended;
                worker.run();
                // The drop of a program's store may panic.
                let _ = catch_panic::call(move || drop(worker));
            })
            .map_err(|error| StoreError::io("the thread of the store cannot be started", error))?;
        Ok(Self(Arc::new(Owner { shared, thread: thread.thread().id() })))
    }

    /// Queues changes for the next commit, in order, and returns at once. They are in the same
    /// commit: after a crash, the store has all or none of them.
    ///
    /// `then` runs in the journal's thread after the commit. For [`Fate::Optional`], it gets the
    /// error of a failed one. For [`Fate::Required`], it gets `Ok` when the changes are durable; it
    /// gets an error only if the journal ends before.
    pub(crate) fn submit(&self, changes: Vec<Change>, fate: Fate, then: Then) {
        let shared = &self.0.shared;
        shared.lock().queue.push_back(Submission { changes, fate, then });
        shared.changed.notify_all();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("queued", &self.0.shared.lock().queue.len()).finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.phase = Phase::Closing;
        self.shared.changed.notify_all();
        if thread::current().id() != self.thread {
            let ended = self.shared.changed.wait_timeout_while(state, GRACE, |state| state.phase != Phase::Ended);
            drop(ended.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says at its drop that the thread has ended.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().phase = Phase::Ended;
        self.0.changed.notify_all();
    }
}

/// Required changes whose commit failed.
#[derive(Default)]
struct Unwritten {
    /// The last one of each key.
    changes: Vec<Change>,
    thens: Vec<Then>,
    /// The error of the last commit, and when to try again.
    failed: Option<(Arc<StoreError>, Instant)>,
}

/// What the thread owns.
struct Worker<S> {
    store: S,
    shared: Arc<Shared>,
    on_error: Box<dyn Fn(&StoreError) + Send>,
    /// Whether the error of the last commit was reported.
    is_reported: bool,
    unwritten: Unwritten,
}

impl<S: Store> Worker<S> {
    fn run(&mut self) {
        while let Some(batch) = self.next() {
            self.commit(batch);
        }
        // A last attempt for what was not written so far.
        if self.unwritten.failed.is_some() {
            self.commit(Vec::new());
        }
        if let Some((error, _)) = self.unwritten.failed.take() {
            self.unwritten.thens.drain(..).for_each(|then| run_then(then, Err(error.clone())));
        }
    }

    /// Waits for submissions, and takes as many as one commit may have. Returns an empty batch when
    /// it is time to try again, and `None` at the end.
    fn next(&self) -> Option<Vec<Submission>> {
        let mut state = self.shared.lock();
        loop {
            if !state.queue.is_empty() {
                return Some(take(&mut state.queue));
            }
            if state.phase == Phase::Closing {
                return None;
            }
            let Some((_, retry_at)) = &self.unwritten.failed else {
                state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = retry_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Vec::new());
            }
            (state, _) = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Commits what failed before, and the batch. If that fails, it tries without the changes that
    /// nobody relies on.
    fn commit(&mut self, batch: Vec<Submission>) {
        let mut changes = mem::take(&mut self.unwritten.changes);
        // For each change, whether it is required.
        let mut is_required = vec![true; changes.len()];
        let (mut required, mut optional) = (mem::take(&mut self.unwritten.thens), Vec::new());
        let mut order = Vec::new();
        for Submission { changes: mut more, fate, then } in batch {
            is_required.resize(changes.len() + more.len(), fate == Fate::Required);
            changes.append(&mut more);
            order.push((fate, then));
        }
        let mut result = self.write(&changes);
        let Err(first) = &result else {
            self.unwritten.failed = None;
            let thens = order.into_iter().map(|(_, then)| then);
            return required.into_iter().chain(thens).for_each(|then| run_then(then, Ok(())));
        };
        let first = first.clone();
        for (fate, then) in order {
            let thens = if fate == Fate::Required { &mut required } else { &mut optional };
            thens.push(then);
        }
        let has_optional = is_required.contains(&false);
        let has_required = is_required.contains(&true);
        let mut is_required = is_required.into_iter();
        changes.retain(|_| is_required.next() == Some(true));
        if has_optional {
            result = self.write(&changes);
        }
        if !has_required {
            self.report(&first);
        }
        match result {
            Ok(()) => {
                self.unwritten.failed = None;
                required.into_iter().for_each(|then| run_then(then, Ok(())));
            }
            Err(error) => self.keep(changes, required, error),
        }
        optional.into_iter().for_each(|then| run_then(then, Err(first.clone())));
    }

    /// Keeps required changes for a later commit.
    fn keep(&mut self, mut changes: Vec<Change>, thens: Vec<Then>, error: Arc<StoreError>) {
        merge(&mut changes);
        self.report(&error);
        self.unwritten = Unwritten { changes, thens, failed: Some((error, Instant::now() + RETRY)) };
    }

    /// Reports that nothing could be written, once until something was.
    fn report(&mut self, error: &StoreError) {
        if !mem::replace(&mut self.is_reported, true) {
            let _ = catch_panic::call(|| (self.on_error)(error));
        }
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), Arc<StoreError>> {
        if changes.is_empty() {
            return Ok(());
        }
        guarded(|| self.store.commit(changes)).map_err(Arc::new)?;
        self.is_reported = false;
        Ok(())
    }
}

/// Takes the submissions of one commit from a queue that is not empty.
fn take(queue: &mut VecDeque<Submission>) -> Vec<Submission> {
    let (mut changes, mut bytes, mut taken) = (0, 0, 0);
    for submission in &*queue {
        changes += submission.changes.len();
        bytes += submission.changes.iter().map(Change::size).sum::<usize>();
        // One that is too long by itself goes alone.
        if taken > 0 && (changes > MAX_CHANGES || bytes > MAX_BYTES) {
            break;
        }
        taken += 1;
    }
    queue.drain(..taken).collect()
}

/// Keeps the last change of each key.
fn merge(changes: &mut Vec<Change>) {
    let mut keys = HashSet::new();
    let is_last: Vec<bool> = changes.iter().rev().map(|change| keys.insert(change.key())).collect();
    drop(keys);
    let mut is_last = is_last.into_iter().rev();
    changes.retain(|_| is_last.next() == Some(true));
}

/// Runs code of the program, and makes a panic an error.
fn guarded(code: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
    catch_panic::call(code).unwrap_or_else(|| Err(StoreError::new(StoreErrorKind::Other, "the store panicked")))
}

/// A panic here would be a bug of wsx; it must not end the journal.
fn run_then(then: Then, result: Result<(), Arc<StoreError>>) {
    let _ = catch_panic::call(|| then(result));
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::sync::mpsc::{self, Receiver, Sender};

    /// Long enough for anything that happens.
    const DEADLINE: Duration = Duration::from_secs(30);

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Outcome {
        Works,
        Fails,
        Panics,
    }
    use Outcome::{Fails, Panics, Works};

    /// A store whose test sees each commit, and decides how it ends.
    struct Scripted {
        commits: Sender<Vec<Change>>,
        outcomes: Receiver<Outcome>,
        /// Disconnected when the store is dropped.
        _dropped: Sender<()>,
    }

    impl Store for Scripted {
        fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
            each("key", b"value");
            Ok(())
        }

        fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
            let _ = self.commits.send(changes.to_vec());
            // Without its test, it works.
            match self.outcomes.recv().unwrap_or(Works) {
                Works => Ok(()),
                Fails => Err(StoreError::other("as a test wants it")),
                Panics => panic!("as a test wants it"),
            }
        }
    }

    /// What a test sees.
    struct Test {
        journal: Option<Journal>,
        commits: Receiver<Vec<Change>>,
        outcomes: Sender<Outcome>,
        dropped: Receiver<()>,
        /// The name of each submission whose `then` ran, and its error.
        done: Receiver<(String, Option<String>)>,
        done_sender: Sender<(String, Option<String>)>,
        errors: Receiver<String>,
    }

    impl Test {
        fn new() -> Self {
            let (commits_sender, commits) = mpsc::channel();
            let (outcomes, outcomes_receiver) = mpsc::channel();
            let (dropped_sender, dropped) = mpsc::channel();
            let (done_sender, done) = mpsc::channel();
            let (error, errors) = mpsc::channel();
            let store = Scripted { commits: commits_sender, outcomes: outcomes_receiver, _dropped: dropped_sender };
            let on_error = move |failed: &StoreError| drop(error.send(failed.to_string()));
            let journal = Journal::start(store, |_, _| {}, Box::new(on_error)).unwrap();
            Self { journal: Some(journal), commits, outcomes, dropped, done, done_sender, errors }
        }

        /// Submits changes. `then` reports the name.
        fn submit(&self, name: &str, fate: Fate, changes: Vec<Change>) {
            let (name, done) = (name.to_owned(), self.done_sender.clone());
            let then = move |result: Result<(), Arc<StoreError>>| {
                drop(done.send((name, result.err().map(|error| error.to_string()))));
            };
            self.journal.as_ref().unwrap().submit(changes, fate, Box::new(then));
        }

        /// Submits one change whose key is the name.
        fn put(&self, name: &str, fate: Fate) {
            self.submit(name, fate, vec![put(name, "")]);
        }

        /// Awaits the next commit, and returns its keys. It does not end yet.
        fn begun(&self) -> Vec<String> {
            let commit = self.commits.recv_timeout(DEADLINE).expect("there is a commit");
            commit.iter().map(|change| change.key().to_owned()).collect()
        }

        fn end(&self, outcome: Outcome) {
            self.outcomes.send(outcome).unwrap();
        }

        /// Awaits the next commit, and ends it.
        fn commit(&self, outcome: Outcome) -> Vec<String> {
            let keys = self.begun();
            self.end(outcome);
            keys
        }

        /// Awaits this many submissions that are done.
        fn done(&self, count: usize) -> Vec<(String, Option<String>)> {
            (0..count).map(|_| self.done.recv_timeout(DEADLINE).expect("it is done")).collect()
        }

        /// Begins a commit, so that everything else is queued until it ends.
        fn busy(&self) {
            self.put("first", Fate::Required);
            assert_eq!(self.begun(), ["first"]);
        }
    }

    fn put(key: &str, value: &'static str) -> Change {
        Change::Put { key: key.to_owned(), value: Bytes::from_static(value.as_bytes()) }
    }

    fn ok(name: &str) -> (String, Option<String>) {
        (name.to_owned(), None)
    }

    fn failed(name: &str) -> (String, Option<String>) {
        (name.to_owned(), Some("as a test wants it".to_owned()))
    }

    /// Row G25: one sync for everything that waits, in its order.
    #[test]
    fn what_is_queued_shares_a_commit() {
        let test = Test::new();
        test.busy();
        let names: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        for (n, name) in names.iter().enumerate() {
            test.put(name, if n % 3 == 0 { Fate::Optional } else { Fate::Required });
        }
        assert!(test.done.try_recv().is_err(), "nothing is durable");
        test.end(Works);
        assert_eq!(test.begun(), names);
        assert_eq!(test.done(1), [ok("first")]);
        assert!(test.done.try_recv().is_err(), "the second commit has not ended");
        test.end(Works);
        assert_eq!(test.done(100), names.iter().map(|name| ok(name)).collect::<Vec<_>>());
    }

    /// Row G25: 4,096 changes or 4 MiB, and never a part of a submission.
    #[test]
    fn a_commit_is_bounded() {
        let test = Test::new();
        test.busy();
        for _ in 0..4095 {
            test.put("short", Fate::Required);
        }
        test.submit("two", Fate::Required, vec![put("two", ""), put("two", "")]);
        test.submit("many", Fate::Required, vec![put("many", ""); 5000]);
        let long: &'static str = Box::leak("x".repeat(MAX_BYTES / 4).into());
        for _ in 0..5 {
            test.submit("long", Fate::Required, vec![put("", long)]);
        }
        test.submit("longest", Fate::Required, vec![put("longest", long), put("", long), put("", long), put("", long)]);
        test.put("last", Fate::Required);
        test.end(Works);
        let commits: Vec<_> = (0..7).map(|_| test.commit(Works).len()).collect();
        assert_eq!(commits, [4095, 2, 5000, 4, 1, 4, 1]);
    }

    /// Row G26: a message that was not accepted is not tried again, and does not hold up the rest.
    #[test]
    fn a_failed_commit_drops_only_what_is_optional() {
        let test = Test::new();
        test.busy();
        test.put("a", Fate::Optional);
        test.put("b", Fate::Required);
        test.submit("c", Fate::Optional, vec![put("c", ""), put("d", "")]);
        test.put("e", Fate::Required);
        test.end(Works);
        assert_eq!(test.commit(Fails), ["a", "b", "c", "d", "e"]);
        assert_eq!(test.commit(Works), ["b", "e"]);
        assert_eq!(test.done(5), [ok("first"), ok("b"), ok("e"), failed("a"), failed("c")]);
        assert!(test.errors.try_recv().is_err(), "everything that is required was written");

        // Nothing is left to try again.
        test.put("f", Fate::Optional);
        assert_eq!(test.commit(Fails), ["f"]);
        assert_eq!(test.done(1), [failed("f")]);
        assert_eq!(test.errors.try_iter().count(), 1, "nothing was written");
        test.put("g", Fate::Optional);
        assert_eq!(test.commit(Fails), ["g"]);
        assert_eq!(test.done(1), [failed("g")]);
        test.put("h", Fate::Optional);
        assert_eq!(test.commit(Works), ["h"]);
        assert_eq!((test.done(1), test.errors.try_iter().count()), (vec![ok("h")], 0));
    }

    /// Row G26: required changes are tried again after a second, and with each later commit. The
    /// program learns of it once, until a commit has succeeded.
    #[test]
    fn required_changes_are_tried_again() {
        let test = Test::new();
        test.submit("a", Fate::Required, vec![put("a", "1"), put("b", "1")]);
        assert_eq!(test.commit(Fails), ["a", "b"]);
        // By itself.
        assert_eq!(test.begun(), ["a", "b"]);
        // With later commits, of which one has an optional part.
        test.submit("c", Fate::Required, vec![put("b", "2"), Change::Delete { key: "c".to_owned() }]);
        test.end(Fails);
        assert_eq!(test.begun(), ["a", "b", "b", "c"]);
        test.put("d", Fate::Optional);
        test.end(Fails);
        assert_eq!(test.begun(), ["a", "b", "c", "d"], "the last change of each key");
        test.end(Fails);
        let commit = test.commits.recv_timeout(DEADLINE).unwrap();
        assert_eq!(commit, [put("a", "1"), put("b", "2"), Change::Delete { key: "c".to_owned() }]);
        test.end(Works);
        assert_eq!(test.done(3), [ok("a"), ok("c"), failed("d")]);
        assert_eq!(test.errors.try_iter().collect::<Vec<_>>(), ["as a test wants it"]);

        test.put("e", Fate::Required);
        test.commit(Fails);
        test.commit(Works);
        assert_eq!(test.done(1), [ok("e")]);
        assert_eq!(test.errors.try_iter().count(), 1, "a second failure began");
    }

    /// Row G26: a panic of a program's code is an error, and ends nothing.
    #[test]
    fn a_panic_is_an_error() {
        struct Panicking;
        impl Store for Panicking {
            fn load(&mut self, _: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
                panic!("as a test wants it")
            }

            fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
                unreachable!("it was not loaded")
            }
        }
        let error = Journal::start(Panicking, |_, _| {}, Box::new(|_| {})).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (StoreErrorKind::Other, "the store panicked".to_owned()));

        let test = Test::new();
        test.put("a", Fate::Optional);
        assert_eq!(test.commit(Panics), ["a"]);
        assert_eq!(test.done(1), [("a".to_owned(), Some("the store panicked".to_owned()))]);
        let journal = test.journal.as_ref().unwrap();
        journal.submit(vec![put("b", "")], Fate::Required, Box::new(|_| panic!("as a test wants it")));
        assert_eq!(test.commit(Works), ["b"]);
        test.put("c", Fate::Required);
        assert_eq!(test.commit(Works), ["c"]);
        assert_eq!(test.done(1), [ok("c")]);
    }

    /// Row G26: an error of `load` is the error of the start, and what it read goes to the caller.
    #[test]
    fn a_store_is_read_before_the_first_commit() {
        struct Broken;
        impl Store for Broken {
            fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
                each("key", b"value");
                Err(StoreError::other("the rest is missing"))
            }

            fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
                unreachable!("it was not loaded")
            }
        }
        let mut read = Vec::new();
        let each = |key: &str, value: &[u8]| read.push((key.to_owned(), value.to_vec()));
        let error = Journal::start(Broken, each, Box::new(|_| {})).unwrap_err();
        assert_eq!(error.to_string(), "the rest is missing");
        assert_eq!(read, [("key".to_owned(), b"value".to_vec())]);
    }

    /// Row G27: the last handle waits until everything is durable and the store is closed.
    #[test]
    fn the_end_waits_for_what_is_queued() {
        let mut test = Test::new();
        test.busy();
        test.put("a", Fate::Optional);
        let other = test.journal.clone();
        drop(test.journal.take());
        assert!(test.dropped.try_recv() == Err(mpsc::TryRecvError::Empty), "there is another handle");
        let ending = thread::spawn(move || drop(other));
        test.end(Works);
        test.commit(Works);
        ending.join().unwrap();
        assert_eq!(test.done.try_iter().collect::<Vec<_>>(), [ok("first"), ok("a")]);
        assert!(test.dropped.try_recv() == Err(mpsc::TryRecvError::Disconnected), "the file is closed");
    }

    /// Row G27: a disk that hangs does not hang the program.
    #[test]
    fn the_end_does_not_wait_for_a_store_that_hangs() {
        let mut test = Test::new();
        test.busy();
        test.put("a", Fate::Required);
        drop(test.journal.take());
        assert!(test.done.try_recv().is_err(), "the store hangs");
        // It goes on when it can.
        test.end(Works);
        test.commit(Works);
        assert_eq!(test.done(2), [ok("first"), ok("a")]);
    }

    /// Row G27: the last handle may be in the journal's own thread, which does not wait for itself.
    #[test]
    fn the_end_may_come_in_the_thread_of_the_journal() {
        let mut test = Test::new();
        let journal = test.journal.take().unwrap();
        let (held, done) = (journal.clone(), test.done_sender.clone());
        let then = move |_: Result<(), Arc<StoreError>>| {
            drop(held);
            drop(done.send(ok("ended")));
        };
        journal.submit(vec![put("a", "")], Fate::Required, Box::new(then));
        test.begun();
        // The journal's thread waits for its store, so that this handle is not the last one.
        drop(journal);
        test.end(Works);
        assert_eq!(test.done(1), [ok("ended")]);
        assert_eq!(test.dropped.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    /// Row G27: nobody waits forever for changes that the store could not write.
    #[test]
    fn what_cannot_be_written_at_the_end_is_an_error() {
        let mut test = Test::new();
        test.put("a", Fate::Required);
        (0..10).for_each(|_| test.end(Fails));
        test.begun();
        drop(test.journal.take());
        assert_eq!(test.done.try_iter().collect::<Vec<_>>(), [failed("a")]);
        assert_eq!(test.begun(), ["a"], "a last attempt");
    }
}
