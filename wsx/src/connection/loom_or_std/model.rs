//! Runs a test once for every order in which its threads can take their locks.
//!
//! Locks and atomics of [`loom_or_std`](super) are loom's. The semaphores, signals and tokens of
//! tokio are the real ones, and each of their calls is one step. They have models of their own.
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// The tests found every mistake that was made on purpose with at most two. `LOOM_MAX_PREEMPTIONS`
/// sets another number.
const PREEMPTIONS: usize = 3;

/// Runs `model` in every order.
pub(crate) fn check(model: impl Fn() + Send + Sync + 'static) {
    // Timeouts need a clock. This one is paused, so that they do not end.
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let clock = clock.expect("a clock needs no resource");
    let _entered = clock.enter();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    let orders = Arc::new(AtomicUsize::new(0));
    builder.check({
        let orders = orders.clone();
        move || {
            orders.fetch_add(1, Ordering::Relaxed);
            model();
        }
    });
    println!("orders: {}", orders.load(Ordering::Relaxed));
}

/// A thread that a waker wakes.
struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    fn park(&self) {
        let mut woken = lock(&self.woken);
        while !std::mem::take(&mut *woken) {
            woken = self.changed.wait(woken).expect("no model panics under this lock");
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *lock(&self.woken) = true;
        self.changed.notify_one();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no model panics under this lock")
}

/// Polls only when woken.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let parker = Arc::new(Parker { woken: Mutex::new(false), changed: Condvar::new() });
    let waker = Waker::from(parker.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        parker.park();
    }
}
