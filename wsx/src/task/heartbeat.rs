//! Finding a link that died without a word: a silent peer is pinged, and one that stays silent is gone.
//!
//! Knows the clock, and neither the socket nor the queue: it says what is due.
use crate::config::Heartbeat;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// What [`Beat::poll`] found due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Ping,
    /// Not a byte came since the ping.
    Dead,
}

/// The heartbeat of one connection.
#[derive(Debug)]
pub(crate) struct Beat {
    rhythm: Heartbeat,
    timer: Pin<Box<Sleep>>,
    /// When what is due next is due.
    due: Instant,
    asked: bool,
}

impl Beat {
    pub(crate) fn new(rhythm: Heartbeat) -> Self {
        let due = after(rhythm.interval);
        Self { rhythm, timer: Box::pin(sleep_until(due)), due, asked: false }
    }

    /// A byte came.
    pub(crate) fn heard(&mut self) {
        self.due = after(self.rhythm.interval);
        self.asked = false;
    }

    /// Pending while nothing is due; the task is woken when it is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        if self.timer.deadline() != self.due {
            self.timer.as_mut().reset(self.due);
        }
        ready!(self.timer.as_mut().poll(cx));
        if std::mem::replace(&mut self.asked, true) {
            return Poll::Ready(Due::Dead);
        }
        // From now, not from when it was due: a task that came late must still give the peer its time to answer.
        self.due = after(self.rhythm.timeout);
        Poll::Ready(Due::Ping)
    }
}

/// So long from now, and at most thirty years, as in tokio's own timers: the clock has an end, and rounding a time right in
/// front of it overflows as well.
fn after(wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    Instant::now() + wait.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::time::{advance, timeout};

    const SECOND: Duration = Duration::from_secs(1);
    const USUAL: Heartbeat = Heartbeat { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) };

    async fn due(beat: &mut Beat) -> Due {
        poll_fn(|cx| beat.poll(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_answered_by_a_ping_and_then_by_the_end() {
        let (start, mut beat) = (Instant::now(), Beat::new(USUAL));
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Ping, 30 * SECOND));
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Dead, 40 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_puts_both_off() {
        let (start, mut beat) = (Instant::now(), Beat::new(USUAL));
        tokio::time::sleep(20 * SECOND).await;
        beat.heard();
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Ping, 50 * SECOND));
        tokio::time::sleep(9 * SECOND).await;
        beat.heard();
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Ping, 89 * SECOND));
    }

    /// A thread that was blocked, a box that slept: the peer has not been asked yet.
    #[tokio::test(start_paused = true)]
    async fn a_ping_that_leaves_late_is_waited_for_all_the_same() {
        let (start, mut beat) = (Instant::now(), Beat::new(USUAL));
        advance(100 * SECOND).await;
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Ping, 100 * SECOND));
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Dead, 110 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_no_clock_has_never_comes() {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let mut silent = Beat::new(Heartbeat { interval: Duration::MAX, timeout: Duration::MAX });
        assert!(timeout(YEAR, due(&mut silent)).await.is_err());
        let mut patient = Beat::new(Heartbeat { interval: SECOND, timeout: Duration::MAX });
        assert_eq!(due(&mut patient).await, Due::Ping);
        assert!(timeout(YEAR, due(&mut patient)).await.is_err());
        patient.heard();
        assert_eq!(due(&mut patient).await, Due::Ping);
        // The last time that the clock has, for which tokio's timer has no next millisecond.
        let now = Instant::now();
        let (seconds, rest) = ((0..64).rev(), (0..30).rev());
        let steps =
            seconds.map(|bit| Duration::from_secs(1 << bit)).chain(rest.map(|bit| Duration::from_nanos(1 << bit)));
        let last = steps.fold(Duration::ZERO, |sum, step| {
            sum.checked_add(step).filter(|sum| now.checked_add(*sum).is_some()).unwrap_or(sum)
        });
        assert!(now.checked_add(last + Duration::from_nanos(1)).is_none());
        let mut silent = Beat::new(Heartbeat { interval: last, timeout: last });
        assert!(timeout(YEAR, due(&mut silent)).await.is_err());
    }
}
