//! Finding a link that died without a word: a silent peer is pinged, and one that stays silent is gone.
//!
//! Knows the clock, and neither the socket nor the queue: it says what is due.
use crate::config::Heartbeat;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
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
    last: Instant,
    /// When the ping went out that is not answered yet. The answer's time counts from here, and not from when the ping was
    /// due: where the clock jumps, or the process was stopped, both lie far behind at once.
    asked: Option<Instant>,
}

impl Beat {
    pub(crate) fn new(rhythm: Heartbeat) -> Self {
        let last = Instant::now();
        Self { rhythm, timer: Box::pin(sleep_until(last + rhythm.interval)), last, asked: None }
    }

    /// A byte came.
    pub(crate) fn heard(&mut self) {
        self.last = Instant::now();
        self.asked = None;
    }

    /// Pending while nothing is due; the task is woken when it is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        let Heartbeat { interval, timeout } = self.rhythm;
        let due = self.asked.map_or(self.last + interval, |asked| asked + timeout);
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(if self.asked.replace(Instant::now()).is_some() { Due::Dead } else { Due::Ping })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    const SECOND: Duration = Duration::from_secs(1);

    async fn due(beat: &mut Beat) -> Due {
        poll_fn(|cx| beat.poll(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_answered_by_a_ping_and_then_by_the_end() {
        let (start, mut beat) = (Instant::now(), Beat::new(Heartbeat { interval: 30 * SECOND, timeout: 10 * SECOND }));
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Ping, 30 * SECOND));
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Dead, 40 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_puts_both_off() {
        let (start, mut beat) = (Instant::now(), Beat::new(Heartbeat { interval: 30 * SECOND, timeout: 10 * SECOND }));
        tokio::time::sleep(20 * SECOND).await;
        beat.heard();
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Ping, 50 * SECOND));
        tokio::time::sleep(9 * SECOND).await;
        beat.heard();
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Ping, 89 * SECOND));
    }

    /// Row X6: a peer that nobody has asked is not dead.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_leaves_the_peer_its_time_to_answer() {
        let mut beat = Beat::new(Heartbeat { interval: 30 * SECOND, timeout: 10 * SECOND });
        tokio::time::advance(86_400 * SECOND).await;
        let start = Instant::now();
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Ping, Duration::ZERO));
        assert_eq!((due(&mut beat).await, start.elapsed()), (Due::Dead, 10 * SECOND));
    }
}
