//! What the pages show: one message at the start of a connection, and then one a second with what
//! changed.
use crate::board::{Board, Row};
use crate::clock;
use crate::page::{desk::Desk, history::History};
use crate::server::Station;
use fleet_protocol::Fleet;
use fleet_protocol::dashboard::{BoxState, Boxes, Change, Changes, Sample, Server, Status};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use wsx::{Connection, Hub, SendError};

/// Time between two messages to a page. A message has what changed, so its length depends on the
/// number of boxes, and not on their sampling rates.
const TICK: Duration = Duration::from_secs(1);
/// Time that the charts of a page show at its start, in milliseconds.
const RECENT: u64 = 60_000;

/// The state of the pages. All pages show the same.
#[derive(Debug)]
pub(super) struct Feed {
    station: Station,
    /// Locked while a message is queued, so that each page gets the changes after its first
    /// message, and not one twice.
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    boxes: BTreeMap<String, Shape>,
    /// Number of the notices that the pages have.
    notices: u64,
}

/// A box as the pages show it.
#[derive(Debug, Default)]
struct Shape {
    status: Status,
    history: History,
}

impl Feed {
    pub(super) fn new(station: Station) -> Self {
        Self { station, shown: Mutex::default() }
    }

    /// Sends a new page everything.
    pub(super) async fn greet(&self, conn: &Connection<Server>) -> Result<(), SendError> {
        let shown = self.shown.lock().await;
        let now = clock::now();
        let boxes = shown.boxes.iter().map(|(id, Shape { status, history })| BoxState {
            id: id.clone(),
            status: status.clone(),
            sample: history.newest(),
            recent_cpu: history.after(now.saturating_sub(RECENT)).map(|sample| sample.cpu).collect(),
        });
        let (mut notices, added) = self.station.notices.after(0);
        // The newest ones come with the next changes.
        notices.truncate(notices.len().saturating_sub(usize::try_from(added - shown.notices).unwrap_or(usize::MAX)));
        conn.send(&Boxes { now, version: Fleet::VERSION, boxes: boxes.collect(), notices }).await
    }

    /// Returns the samples of a box, or `None` if the pages do not show it.
    pub(super) async fn history(&self, id: &str) -> Option<Vec<Sample>> {
        let shown = self.shown.lock().await;
        shown.boxes.get(id).map(|shape| shape.history.after(0).copied().collect())
    }

    /// Sends every page what has changed since the call before.
    async fn tick(&self, pages: &Hub<Desk>) {
        let mut shown = self.shown.lock().await;
        let now = clock::now();
        let hub = self.station.current.hub();
        let waiting = |id: &str| hub.as_ref().map_or(0, |hub| hub.waiting(id).len());
        let boxes = changes(&mut shown.boxes, &self.station.board, now, waiting);
        let (notices, added) = self.station.notices.after(shown.notices);
        shown.notices = added;
        if (boxes.is_empty() && notices.is_empty()) || pages.is_empty() {
            return;
        }
        if let Err(error) = pages.broadcast(&Changes { now, boxes, notices }).await {
            self.station.screen.say(format!("page: cannot send what changed: {}", wsx::Report(&error)));
        }
    }
}

/// Sends what changed once a second, as long as it runs.
pub(super) async fn run(feed: Arc<Feed>, pages: Hub<Desk>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        feed.tick(&pages).await;
    }
}

/// Compares the board with what the pages show, and returns the difference. `waiting` returns the
/// number of messages that wait for a box.
fn changes(
    shown: &mut BTreeMap<String, Shape>,
    board: &Board,
    now: u64,
    waiting: impl Fn(&str) -> usize,
) -> Vec<Change> {
    let mut found = Vec::new();
    board.for_each(|id, row| {
        // Before the first connection of a box has begun, there is nothing to show.
        let Some(mut status) = status(row) else { return };
        status.mailbox = count(waiting(id));
        let is_new = !shown.contains_key(id);
        let shape = shown.entry(id.to_owned()).or_default();
        let sample = row.reading.and_then(|reading| shape.history.take(now, reading, row.latency));
        let status = (is_new || shape.status != status).then(|| {
            shape.status.clone_from(&status);
            status
        });
        if status.is_some() || sample.is_some() {
            found.push(Change { id: id.to_owned(), status, sample });
        }
    });
    found
}

fn status(row: &Row) -> Option<Status> {
    let reading = row.reading;
    Some(Status {
        online: row.online,
        since: clock::millis(row.since?),
        reason: row.reason.clone(),
        labels: row.labels.clone(),
        version: reading.and_then(|reading| reading.version),
        per_second: reading.map(|reading| reading.per_second),
        reconnects: row.count.reconnected,
        outbox: reading.and_then(|reading| reading.outbox),
        mailbox: 0,
    })
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_protocol::{Stamp, Telemetry};
    use std::{num::NonZero, time::SystemTime};

    /// A message has what changed since the one before, and nothing else.
    #[test]
    fn only_what_changed_is_sent() {
        let (board, mut shown) = (Board::default(), BTreeMap::new());
        let mut next = |now, waiting| {
            let found = changes(&mut shown, &board, now, |_| waiting);
            found.into_iter().map(|change| (change.id, change.status, change.sample)).collect::<Vec<_>>()
        };
        board.change("north-1", |row| row.show(&telemetry(5), Some(1)));
        assert_eq!(next(1, 0), [], "its connection has not begun");
        board.change("north-1", |row| (row.online, row.since) = (true, Some(SystemTime::now())));
        let [(id, Some(status), Some(sample))] = &next(2, 0)[..] else { panic!("a new box") };
        assert_eq!((&**id, status.online, status.outbox, sample.cpu), ("north-1", true, Some(5), 30));
        assert_eq!(next(3, 0), [], "nothing changed");
        board.change("north-1", |row| row.show(&telemetry(5), Some(1)));
        assert!(matches!(&next(4, 0)[..], [(_, None, Some(_))]), "a sample alone");
        assert!(matches!(&next(5, 1)[..], [(_, Some(status), None)] if status.mailbox == 1));
        board.change("north-1", |row| row.online = false);
        assert!(matches!(&next(6, 1)[..], [(_, Some(status), None)] if !status.online));
    }

    fn telemetry(outbox: u32) -> Telemetry<'static> {
        Telemetry {
            stamp: Stamp { run: 1, session: 1, number: 1 },
            per_second: NonZero::new(5).unwrap(),
            cores: vec![20, 40],
            memory: 50,
            disk: "/".into(),
            disk_used: 1,
            received: 1,
            sent: 1,
            outbox: Some(outbox),
        }
    }
}
