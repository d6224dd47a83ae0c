//! A box: samples its host, tells the station, obeys it, and comes back whenever the connection has ended.
use crate::{
    arguments::Identity,
    failure::Failure,
    sample,
    screen::{Problems, Screen},
};
use fleet_protocol::{Edge, Farewell, MAX_RATE, Notice, RateChanged, SetRate, Stamp, Telemetry};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::watch, time::timeout};
use wsx::{CancellationToken, Client, Closed, SendError, connection::Sending};

/// Until the station says otherwise, in samples a second.
const RATE: u32 = 5;
/// How long the last connection may take to close: more than `Config::close_timeout`, which ends it in any case.
const GRACE: Duration = Duration::from_secs(12);

/// The client's end of the conversation.
#[derive(Debug, wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox {
    id: String,
    /// In samples a second. The sampler follows it, and each change is told to the station.
    rate: watch::Sender<u32>,
    screen: Screen,
}

#[wsx::handler(on = EdgeBox)]
fn on_set_rate(edge: &EdgeBox, message: SetRate) -> Result<(), String> {
    let SetRate { per_second } = message;
    if !(1..=MAX_RATE).contains(&per_second) {
        return Err(format!("{per_second} samples a second are not between 1 and {MAX_RATE}"));
    }
    edge.rate.send_replace(per_second);
    edge.screen.event(format!("{}: takes {per_second} samples a second from now on", edge.id));
    Ok(())
}

#[wsx::handler(on = EdgeBox)]
fn on_notice(edge: &EdgeBox, message: Notice<'_>) {
    edge.screen.event(format!("{}: reads {:?}", edge.id, message.text));
}

#[wsx::handler("__close__", on = EdgeBox)]
fn on_close(edge: &EdgeBox, closed: Closed) {
    edge.screen.event(format!("{}: disconnected, {closed}", edge.id));
}

/// What a box has done when it ends.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) run: u64,
    /// Messages that its connections accepted.
    pub(crate) accepted: u64,
    /// Connections after the first.
    pub(crate) reconnected: u32,
}

/// Runs until `stop`; then says farewell, and closes.
pub(crate) async fn run(identity: Identity, screen: Screen, stop: CancellationToken) -> Result<Outcome, Failure> {
    let Identity { url, id } = identity;
    let (rate, mut rate_changes) = watch::channel(RATE);
    let mut samples = sample::start(&id, rate.subscribe())?;
    let url = format!("{url}{}id={id}", if url.contains('?') { '&' } else { '?' });
    let client = Client::builder(url)
        .endpoint(EdgeBox { id: id.clone(), rate, screen: screen.clone() })
        .observer(Problems { who: id.clone(), screen: screen.clone() })
        .build()
        .unwrap();

    let connections = Arc::new(AtomicU32::new(0));
    let (counter, name) = (connections.clone(), id.clone());
    let connecting = client.connect(CancellationToken::new(), move |_| {
        let session = counter.fetch_add(1, Ordering::SeqCst) + 1;
        screen.event(format!("{name}: connected, session {session}"));
    });
    let mut numbering = Numbering::new(connections);
    tokio::select! {
        connected = connecting => connected.map_err(|source| Failure::Connect { id: id.clone(), source })?,
        () = stop.cancelled() => return Ok(numbering.outcome(id)),
    };

    loop {
        let sent = tokio::select! {
            () = stop.cancelled() => break,
            changed = rate_changes.changed() => {
                changed.expect("the client's endpoint keeps the other half");
                let per_second = *rate_changes.borrow();
                let stamp = numbering.stamp();
                numbering.accept(stamp, client.send(&RateChanged { stamp, per_second })).await
            }
            sample = samples.recv() => {
                let Some(sample) = sample else { return Err(Failure::Sampler { id }) };
                let per_second = *rate_changes.borrow();
                let stamp = numbering.stamp();
                numbering.accept(stamp, client.send(&Telemetry { stamp, per_second, sample })).await
            }
        };
        check(sent, &id)?;
    }
    let stamp = numbering.stamp();
    let farewell = client.send(&Farewell { stamp, accepted: numbering.accepted() });
    check(numbering.accept(stamp, farewell).await, &id)?;
    client.close();
    timeout(GRACE, client.closed()).await.map_err(|_| Failure::Late("the last connection of a box"))?;
    Ok(numbering.outcome(id))
}

/// Between two connections what a box would have sent is dropped: the next sample is newer anyway.
fn check(sent: Result<(), SendError>, id: &str) -> Result<(), Failure> {
    match sent {
        Ok(()) | Err(SendError::NotConnected | SendError::Closed) => Ok(()),
        Err(source) => Err(Failure::Send { id: id.to_owned(), source }),
    }
}

/// Numbers what the box sends, session by session, and counts what was accepted.
struct Numbering {
    /// How many connections there were, the present one included.
    connections: Arc<AtomicU32>,
    run: u64,
    session: u32,
    /// Accepted in this session.
    number: u64,
    /// Accepted before it.
    earlier: u64,
}

impl Numbering {
    fn new(connections: Arc<AtomicU32>) -> Self {
        // A clock that stands before 1970 counts as 1970: all that matters is that a later run has a later number.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self { connections, run, session: 0, number: 0, earlier: 0 }
    }

    /// Of the next message.
    fn stamp(&mut self) -> Stamp {
        let session = self.connections.load(Ordering::SeqCst);
        if session != self.session {
            self.earlier += self.number;
            self.number = 0;
            self.session = session;
        }
        let Self { run, earlier, .. } = *self;
        Stamp { run, session, number: self.number + 1, earlier }
    }

    /// Waits for room in the queue for no longer than the connection's write timeout, which ends the connection.
    async fn accept(&mut self, stamp: Stamp, sending: Sending<'_>) -> Result<(), SendError> {
        // The client may have connected again since the message was numbered, and `sending` be bound for that
        // connection. A future that is dropped before it was polled has sent nothing.
        if self.connections.load(Ordering::SeqCst) != stamp.session {
            return Err(SendError::NotConnected);
        }
        sending.await?;
        self.number += 1;
        Ok(())
    }

    fn accepted(&self) -> u64 {
        self.earlier + self.number
    }

    fn outcome(&self, id: String) -> Outcome {
        let reconnected = self.connections.load(Ordering::SeqCst).saturating_sub(1);
        Outcome { id, run: self.run, accepted: self.accepted(), reconnected }
    }
}
