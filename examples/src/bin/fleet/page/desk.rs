//! The endpoint of the browsers. It passes their requests on to the boxes, and says why a reply is
//! missing.
use crate::page::feed::{Feed, count};
use crate::server::Station;
use fleet_protocol::dashboard::{
    BoxHealth, BoxRate, CheckBox, History, NoticeTaken, ReadHistory, SendNotice, Server, SetBoxRate, Unanswered,
};
use fleet_protocol::{CheckHealth, Health, Notice, RateSet, SetRate};
use std::{sync::Arc, time::Duration, time::Instant};
use wsx::{Connection, Hub, Report, RequestError, SendError};

/// Time in which a box must reply. A person waits for it. The page waits a little longer, so that
/// it gets the reason.
const REPLY_TIMEOUT: Duration = Duration::from_secs(4);
/// Maximum length of a notice, in characters.
const MAX_NOTICE: usize = 200;

#[derive(Debug, Clone, wsx::Endpoint)]
#[wsx(side = Server)]
pub(super) struct Desk {
    pub(super) station: Station,
    pub(super) feed: Arc<Feed>,
}

impl Desk {
    /// Returns the hub of the boxes, if the server has seen this box.
    fn hub_of(&self, id: &str) -> Result<Hub<Station>, Unanswered> {
        if !self.station.board.knows(id) {
            return Err(unanswered("the server does not know this box"));
        }
        self.station.current.hub().ok_or_else(|| unanswered("the server for the boxes is stopped; try again soon"))
    }

    /// Counts a request, and takes its time.
    fn outcome<R>(&self, id: &str, start: Instant, reply: Result<R, RequestError>) -> Result<(R, u32), Unanswered> {
        self.station.count(id, &reply);
        let took = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
        reply.map(|reply| (reply, took)).map_err(|error| match error {
            RequestError::NoSuchConnection(_) => unanswered("the box is not connected"),
            error => unanswered(&Report(&error).to_string()),
        })
    }
}

#[wsx::handler("__open__", on = Desk)]
async fn on_open(desk: &Desk, conn: &Connection<Server>) -> Result<(), SendError> {
    desk.feed.greet(conn).await
}

#[wsx::handler(on = Desk)]
async fn on_read_history(desk: &Desk, ReadHistory { id }: ReadHistory) -> Result<History, Unanswered> {
    let samples = desk.feed.history(&id).await;
    samples.map(|samples| History { samples }).ok_or_else(|| unanswered("the server does not know this box"))
}

// Several at once, so that a box that does not reply delays only the answer about itself.
#[wsx::handler(on = Desk, concurrent = 8)]
async fn on_check_box(desk: &Desk, CheckBox { id }: CheckBox) -> Result<BoxHealth, Unanswered> {
    let (hub, start) = (desk.hub_of(&id)?, Instant::now());
    let reply = hub.request(&id, &CheckHealth {}).timeout(REPLY_TIMEOUT).await;
    let (Health { uptime_s, load, .. }, took) = desk.outcome(&id, start, reply)?;
    Ok(BoxHealth { uptime_s, load, took })
}

#[wsx::handler(on = Desk, concurrent = 8)]
async fn on_set_box_rate(desk: &Desk, SetBoxRate { id, per_second }: SetBoxRate) -> Result<BoxRate, Unanswered> {
    let (hub, start) = (desk.hub_of(&id)?, Instant::now());
    let reply = hub.request(&id, &SetRate { per_second }).timeout(REPLY_TIMEOUT).await;
    let (RateSet { before }, took) = desk.outcome(&id, start, reply)?;
    desk.station
        .tell(Some(&id), format!("a person changed the rate of {id} from {before} to {per_second} samples per second"));
    Ok(BoxRate { before, took })
}

#[wsx::handler(on = Desk)]
async fn on_send_notice(desk: &Desk, SendNotice { id, text }: SendNotice) -> Result<NoticeTaken, Unanswered> {
    let hub = desk.hub_of(&id)?;
    if text.trim().is_empty() || text.chars().count() > MAX_NOTICE {
        return Err(unanswered("a notice has 1 to 200 characters"));
    }
    let sent = hub.send_to(&id, &Notice { text: text.into() }).await;
    sent.map_err(|error| unanswered(&Report(&error).to_string()))?;
    desk.station.tell(Some(&id), format!("a person sent a notice to {id}"));
    Ok(NoticeTaken { waiting: count(hub.waiting(&id).len()) })
}

fn unanswered(reason: &str) -> Unanswered {
    Unanswered { reason: reason.to_owned() }
}
