//! Finds a link that broke silently: a silent peer is pinged, and a peer that stays silent is lost.
//!
//! It knows the clock, but not the socket or the queue: it only reports that a ping or the end is
//! due.
//!
//! ```text
//!               silent for the interval             silent for the timeout
//!   Listening -------------------------> PingSent -------------------------> the peer is lost
//!       ^              (ping)            |   ^  |
//!       +--------------------------------+   +--+
//!          a byte was received, or the         the ping has not left yet
//!          peer took some of ours
//! ```
//!
//! Before the peer is lost, the task has [`LAST_LOOK`] to find a byte that has already arrived.
use crate::{
    config::Heartbeat,
    task::{deadline::LAST_LOOK, transport::unacknowledged::Unacknowledged},
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// The action that is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A ping has to be sent.
    Ping,
    /// The connection has to end: nothing was received since the ping.
    PeerLost,
}

/// The heartbeat of one connection.
#[derive(Debug)]
pub(crate) struct HeartbeatTimer {
    /// The interval and the timeout.
    config: Heartbeat,
    /// Wakes the task at the deadline. `poll` moves it there.
    timer: Pin<Box<Sleep>>,
    /// Whether a ping is unanswered.
    phase: Phase,
    /// The end of the phase, if nothing is received.
    deadline: Instant,
    /// What the peer had not acknowledged at the last ping, if that is known.
    unacknowledged: Option<Unacknowledged>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Listening,
    PingSent,
    /// The timeout is over, and the task looks once more.
    LastLook,
}

impl HeartbeatTimer {
    pub(crate) fn new(config: Heartbeat) -> Self {
        let deadline = after(config.interval);
        Self { config, timer: Box::pin(sleep_until(deadline)), phase: Phase::Listening, deadline, unacknowledged: None }
    }

    /// Begins a new timeout, because the ping has not left yet.
    pub(crate) fn wait_again(&mut self) {
        self.phase = Phase::PingSent;
        self.deadline = after(self.config.timeout);
    }

    /// Notes what is not acknowledged. Returns whether that shows progress.
    pub(crate) fn set_unacknowledged(&mut self, unacknowledged: Option<Unacknowledged>) -> bool {
        Unacknowledged::note(&mut self.unacknowledged, unacknowledged)
    }

    /// Begins a new interval, because the peer is alive.
    pub(crate) fn restart(&mut self) {
        self.phase = Phase::Listening;
        self.deadline = after(self.config.interval);
    }

    /// Pending until an action is due.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        loop {
            if self.timer.deadline() != self.deadline {
                self.timer.as_mut().reset(self.deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
            match self.phase {
                Phase::Listening => {
                    self.phase = Phase::PingSent;
                    // From now, and not from the deadline: a task that runs too late must still
                    // give the peer its time to answer.
                    self.deadline = after(self.config.timeout);
                    return Poll::Ready(Due::Ping);
                }
                Phase::PingSent => {
                    self.phase = Phase::LastLook;
                    self.deadline = after(LAST_LOOK);
                }
                Phase::LastLook => return Poll::Ready(Due::PeerLost),
            }
        }
    }
}

/// Returns the time after `wait`, at most thirty years from now, as the timers of tokio do. Near
/// the end of the clock, rounding a time would overflow.
fn after(wait: Duration) -> Instant {
    const MAX: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    Instant::now() + wait.min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::time::{advance, timeout};

    const SECOND: Duration = Duration::from_secs(1);
    const USUAL: Heartbeat = Heartbeat { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) };

    async fn due(timer: &mut HeartbeatTimer) -> Due {
        poll_fn(|cx| timer.poll(cx)).await
    }

    /// Row R1: a silent peer is noticed within the interval and the timeout.
    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_pinged_and_then_lost() {
        let (start, mut timer) = (Instant::now(), HeartbeatTimer::new(USUAL));
        assert_eq!((due(&mut timer).await, start.elapsed()), (Due::Ping, 30 * SECOND));
        assert_eq!((due(&mut timer).await, start.elapsed()), (Due::PeerLost, 40 * SECOND + LAST_LOOK));
    }

    #[tokio::test(start_paused = true)]
    async fn a_received_byte_restarts_the_timer() {
        let (start, mut timer) = (Instant::now(), HeartbeatTimer::new(USUAL));
        tokio::time::sleep(20 * SECOND).await;
        timer.restart();
        assert_eq!((due(&mut timer).await, start.elapsed()), (Due::Ping, 50 * SECOND));
        tokio::time::sleep(9 * SECOND).await;
        timer.restart();
        assert_eq!((due(&mut timer).await, start.elapsed()), (Due::Ping, 89 * SECOND));
    }

    /// Row R1: the timeout of a ping begins when it has left.
    #[tokio::test(start_paused = true)]
    async fn a_ping_that_has_not_left_gets_another_timeout() {
        let (start, mut timer) = (Instant::now(), HeartbeatTimer::new(USUAL));
        assert_eq!(due(&mut timer).await, Due::Ping);
        let acknowledged = |bytes| Some(Unacknowledged { bytes, ..Unacknowledged::default() });
        assert!(!timer.set_unacknowledged(acknowledged(9)));
        assert_eq!((due(&mut timer).await, start.elapsed()), (Due::PeerLost, 40 * SECOND + LAST_LOOK));
        assert!(timer.set_unacknowledged(acknowledged(8)), "the peer has acknowledged a byte");
        timer.wait_again();
        assert_eq!((due(&mut timer).await, start.elapsed()), (Due::PeerLost, 50 * SECOND + 2 * LAST_LOOK));
        assert!(!timer.set_unacknowledged(acknowledged(8)) && !timer.set_unacknowledged(None));
    }

    /// A stopped process finds the answer together with the expired timer.
    #[tokio::test(start_paused = true)]
    async fn a_byte_that_arrives_during_the_last_look_counts() {
        let (start, mut timer) = (Instant::now(), HeartbeatTimer::new(USUAL));
        assert_eq!(due(&mut timer).await, Due::Ping);
        advance(20 * SECOND).await;
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx))).await.is_pending());
        timer.restart();
        assert_eq!((due(&mut timer).await, start.elapsed()), (Due::Ping, 80 * SECOND));
    }

    /// Row X6: the thread was blocked, or the machine was suspended, so no ping was sent yet.
    #[tokio::test(start_paused = true)]
    async fn a_delayed_ping_still_gives_the_peer_its_time_to_answer() {
        let (start, mut timer) = (Instant::now(), HeartbeatTimer::new(USUAL));
        advance(100 * SECOND).await;
        assert_eq!((due(&mut timer).await, start.elapsed()), (Due::Ping, 100 * SECOND));
        assert_eq!((due(&mut timer).await, start.elapsed()), (Due::PeerLost, 110 * SECOND + LAST_LOOK));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_beyond_the_end_of_the_clock_never_comes() {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let mut silent = HeartbeatTimer::new(Heartbeat { interval: Duration::MAX, timeout: Duration::MAX });
        assert!(timeout(YEAR, due(&mut silent)).await.is_err());
        let mut patient = HeartbeatTimer::new(Heartbeat { interval: SECOND, timeout: Duration::MAX });
        assert_eq!(due(&mut patient).await, Due::Ping);
        assert!(timeout(YEAR, due(&mut patient)).await.is_err());
        patient.restart();
        assert_eq!(due(&mut patient).await, Due::Ping);
        // The last time of the clock, for which tokio's timer has no next millisecond.
        let now = Instant::now();
        let (seconds, rest) = ((0..64).rev(), (0..30).rev());
        let steps =
            seconds.map(|bit| Duration::from_secs(1 << bit)).chain(rest.map(|bit| Duration::from_nanos(1 << bit)));
        let last = steps.fold(Duration::ZERO, |sum, step| {
            sum.checked_add(step).filter(|sum| now.checked_add(*sum).is_some()).unwrap_or(sum)
        });
        assert!(now.checked_add(last + Duration::from_nanos(1)).is_none());
        let mut silent = HeartbeatTimer::new(Heartbeat { interval: last, timeout: last });
        assert!(timeout(YEAR, due(&mut silent)).await.is_err());
    }
}
