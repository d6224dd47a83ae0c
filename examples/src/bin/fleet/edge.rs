//! A box: sends samples of its host, obeys the server, and reconnects when a connection ends.
use crate::compression::Compressing;
use crate::sample::{self, Host};
use crate::screen::{Problems, Screen};
use fleet_protocol::{Beat, CheckHealth, Edge, Health, Incident, Notice, RELEASED, RateSet, SetRate, Stamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, net::SocketAddr, num::NonZero};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};
use wsx::Report;
use wsx::{BoxError, CancellationToken, Client, Closed, Connection, SendError};

/// Sampling rate until the server sets another one, in samples per second.
const RATE: NonZero<u8> = NonZero::new(5).unwrap();

/// A box before it runs.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) id: String,
    /// The URLs of its servers. It begins with the first.
    pub(crate) urls: Vec<String>,
    /// Sampling rate until a server sets another one, in samples per second.
    pub(crate) rate: NonZero<u8>,
    pub(crate) screen: Screen,
    pub(crate) compressing: Compressing,
    pub(crate) watch: Arc<dyn Watch>,
}

/// Learns what happens to a box.
pub(crate) trait Watch: fmt::Debug + Send + Sync {
    /// The box has a connection to the server at this address.
    fn connected(&self, _server: Option<SocketAddr>) {}
    /// The connection has ended.
    fn disconnected(&self) {}
    /// The box has received this message.
    fn beat(&self, _beat: &Beat<'_>) {}
}

/// Nobody.
impl Watch for () {}

impl Setup {
    pub(crate) fn new(id: String, url: String, screen: Screen, compressing: Compressing) -> Self {
        Self { id, urls: vec![url], rate: RATE, screen, compressing, watch: Arc::new(()) }
    }
}

/// The client's endpoint.
#[derive(Debug, wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox {
    id: String,
    /// In samples per second.
    rate: watch::Sender<NonZero<u8>>,
    screen: Screen,
    watch: Arc<dyn Watch>,
}

#[wsx::handler(on = EdgeBox)]
fn on_set_rate(edge: &EdgeBox, SetRate { per_second }: SetRate) -> RateSet {
    edge.screen.say(format!("{}: sends {per_second} samples per second from now on", edge.id));
    RateSet { before: edge.rate.send_replace(per_second) }
}

#[wsx::handler(on = EdgeBox)]
fn on_check_health(_: CheckHealth, conn: &Connection<Edge>) -> Health {
    Health { server: conn.peer_addr(), ..block_in_place(sample::health) }
}

#[wsx::handler(on = EdgeBox)]
fn on_beat(edge: &EdgeBox, beat: Beat<'_>) {
    edge.watch.beat(&beat);
}

#[wsx::handler(on = EdgeBox)]
fn on_notice(edge: &EdgeBox, notice: Notice<'_>) {
    edge.screen.say(format!("{}: received {:?}", edge.id, notice.text));
}

#[wsx::handler("__close__", on = EdgeBox)]
fn on_close(edge: &EdgeBox, closed: Closed) {
    edge.watch.disconnected();
    edge.screen.say(format!("{}: disconnected, {closed}", edge.id));
}

/// The work of a box, when it has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    /// Messages that a connection accepted for sending.
    pub(crate) accepted: u64,
    /// Connections after the first.
    pub(crate) reconnected: u32,
}

/// Runs a box until `stop`. Then it sends the queued messages and closes its connection.
pub(crate) async fn run(setup: Setup, stop: CancellationToken) -> Result<Outcome, BoxError> {
    let Setup { id, urls, rate, screen, compressing, watch } = setup;
    let named = |url: String| format!("{url}{}id={id}", if url.contains('?') { '&' } else { '?' });
    let urls: Vec<_> = urls.into_iter().map(named).collect();
    let rate = watch::Sender::new(rate);
    let endpoint = EdgeBox { id: id.clone(), rate, screen: screen.clone(), watch: watch.clone() };
    let client = Client::builder(urls)
        .endpoint(endpoint)
        // Notices within 35 s that its link has died silently, and reconnects.
        .config(compressing.config())
        .contract(RELEASED)
        .observer((Problems { who: id.clone(), screen: screen.clone() }, compressing))
        .build()
        .unwrap();
    let sessions = Arc::new(AtomicU32::new(0));
    let (counter, name) = (sessions.clone(), id.clone());
    let connecting = client.connect(CancellationToken::new(), move |conn| {
        watch.connected(conn.peer_addr());
        let session = counter.fetch_add(1, SeqCst) + 1;
        screen.say(format!("{name}: connected, session {session}"));
    });
    let Some(connected) = stop.run_until_cancelled(connecting).await else {
        return Ok(Outcome { id, accepted: 0, reconnected: 0 });
    };
    connected.map_err(|error| format!("{id} cannot connect: {}", Report(&error)))?;
    // A clock before 1970 counts as 1970.
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
    // A message that no connection accepts leaves its number to the next one.
    let stamp = |accepted| Stamp { run, session: sessions.load(SeqCst), number: accepted + 1 };
    let mut accepted = 0;
    // Whether the sample before was sent.
    let mut was_sent = true;
    let mut host = block_in_place(Host::new);
    let mut next = Instant::now();
    while stop.run_until_cancelled(sleep_until(next)).await.is_some() {
        let rate = *client.endpoint().rate.borrow();
        // Samples that were missed, as while the machine slept, are not sent later.
        next = Instant::now().max(next + Duration::from_secs(1) / u32::from(rate.get()));
        let mut telemetry = block_in_place(|| host.sample(stamp(accepted), rate));
        telemetry.outbox = Some(u32::try_from(client.waiting()).unwrap_or(u32::MAX));
        let is_sent = match client.send(&telemetry).await {
            Ok(()) => true,
            // Between two connections a sample is dropped. The next one is newer anyway.
            Err(SendError::NotConnected | SendError::Closed) => false,
            Err(error) => return Err(error.into()),
        };
        accepted += u64::from(is_sent);
        if was_sent && !is_sent {
            report(&client, "lost its connection").await?;
        }
        was_sent = is_sent;
    }
    client.close();
    client.closed().await;
    Ok(Outcome { id, accepted, reconnected: sessions.load(SeqCst).saturating_sub(1) })
}

/// Reports an incident. It waits in the outbox while the server is away.
async fn report(client: &Client<EdgeBox>, text: &str) -> Result<(), BoxError> {
    match client.send(&Incident { text: text.into() }).await {
        // The server has been away for long. Newer incidents matter more, and older ones may go.
        Ok(()) | Err(SendError::OutboxFull) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
