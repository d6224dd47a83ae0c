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
/// that wait for the disk count. Required changes that failed are merged by their keys, so they are
/// at most one for each key.
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
    /// `on_error` runs in the journal's thread when required changes cannot be written: once, and
    /// again only after a commit has succeeded.
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
        let mut worker = Worker { store, shared: shared.clone(), on_error, unwritten };
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
        let (mut required, mut all) = (mem::take(&mut self.unwritten.thens), Vec::new());
        let mut optional = Vec::new();
        // Where the optional changes are.
        let mut spans = Vec::new();
        for Submission { changes: mut more, fate, then } in batch {
            let begin = changes.len();
            changes.append(&mut more);
            all.push((fate, then));
            if fate == Fate::Optional {
                spans.push(begin..changes.len());
            }
        }
        let mut result = self.write(&changes);
        if let Err(error) = &result {
            let mut at = 0;
            let mut spans = spans.iter().peekable();
            changes.retain(|_| {
                while spans.next_if(|span| span.end <= at).is_some() {}
                let is_optional = spans.peek().is_some_and(|span| span.contains(&at));
                at += 1;
                !is_optional
            });
            for (fate, then) in all {
                match fate {
                    Fate::Optional => optional.push((then, error.clone())),
                    Fate::Required => required.push(then),
                }
            }
            // Without optional changes, it would be the same commit again.
            if changes.len() < at {
                result = self.write(&changes);
            }
        } else {
            required.extend(all.into_iter().map(|(_, then)| then));
        }
        match result {
            Ok(()) => {
                self.unwritten.failed = None;
                required.into_iter().for_each(|then| run_then(then, Ok(())));
            }
            Err(error) if required.is_empty() => debug_assert!(changes.is_empty(), "{error}: each change has an owner"),
            Err(error) => self.keep(changes, required, error),
        }
        optional.into_iter().for_each(|(then, error)| run_then(then, Err(error)));
    }

    /// Keeps required changes for a later commit.
    fn keep(&mut self, mut changes: Vec<Change>, thens: Vec<Then>, error: Arc<StoreError>) {
        merge(&mut changes);
        if self.unwritten.failed.is_none() {
            let _ = catch_panic::call(|| (self.on_error)(&error));
        }
        self.unwritten = Unwritten { changes, thens, failed: Some((error, Instant::now() + RETRY)) };
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), Arc<StoreError>> {
        if changes.is_empty() {
            return Ok(());
        }
        guarded(|| self.store.commit(changes)).map_err(Arc::new)
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
