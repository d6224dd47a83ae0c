//! Deadlines that look once more before they give their verdict.
//!
//! A process that was stopped or starved wakes up with expired timers, and with bytes of its peers
//! that it has not read yet. So an expired deadline first lets the runtime poll its sockets.
use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// How long an expired deadline waits for the events of the sockets.
///
/// The runtime delivers these events before it checks its timers, but at most 1,024 in each turn.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(100);

/// A deadline. It is ready [`LAST_LOOK`] after it has expired.
#[derive(Debug)]
pub(crate) struct Deadline {
    timer: Pin<Box<Sleep>>,
    /// Whether the time has expired.
    expired: bool,
}

impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        Self { timer: Box::pin(sleep(time)), expired: false }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.timer.as_mut().poll(cx));
        if !std::mem::replace(&mut self.expired, true) {
            // From now, because the runtime has to take at least one turn.
            self.timer.set(sleep(LAST_LOOK));
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(())
    }
}

/// Runs `future` for at most `time`. Returns `None` if it is not ready then.
pub(crate) async fn timeout<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut deadline = Deadline::after(time);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        Pin::new(&mut deadline).poll(cx).map(|()| None)
    })
    .await
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use std::{
        future::{pending, poll_fn},
        sync::atomic::{AtomicBool, Ordering},
    };
    use tokio::time::{Instant, advance};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_future_that_is_never_ready_times_out_after_a_last_look() {
        let start = Instant::now();
        assert_eq!(timeout(SECOND, pending::<()>()).await, None);
        assert_eq!(start.elapsed(), SECOND + LAST_LOOK);
    }

    /// The process was stopped: the timer and the event are both late.
    #[tokio::test(start_paused = true)]
    async fn an_event_that_arrives_with_the_expired_timer_counts() {
        let arrived = AtomicBool::new(false);
        let event = poll_fn(|cx| {
            if arrived.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let mut waiting = pin!(timeout(SECOND, event));
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await.is_pending());
        advance(4 * SECOND).await;
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await.is_pending());
        arrived.store(true, Ordering::Relaxed);
        assert_eq!(waiting.await, Some(()));
    }
}
