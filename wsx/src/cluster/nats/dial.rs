//! Connects to one NATS server, subscribes to the subjects of this node, and proves it. It does not
//! know what to do if that fails.
use super::{
    Shared,
    options::{Nats, Server},
    subjects::Subjects,
};
use crate::cluster::bus::NodeId;
use async_nats::{
    Client, ConnectErrorKind, Event, ServerError, Subscriber,
    rustls::crypto::{CryptoProvider, ring},
};
use bytes::Bytes;
use futures_util::StreamExt;
use std::{
    future::ready,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long one address of a server may take: TCP, TLS and NATS' own handshake. A server that was
/// stopped accepts connections and says nothing.
const ADDRESS: Duration = Duration::from_secs(2);

/// How long a server may take, with the lookup of its name, and with files that are read.
const SERVER: Duration = Duration::from_secs(5);

/// How long the proof may take.
const PROOF: Duration = Duration::from_secs(3);

/// Messages of a subscription that wait until the task takes them that only moves them on. 65,536
/// are 13 windows of ten nodes that all publish at their highest rate, so this process may sleep
/// for 60 ms then. What comes on top is lost, and counted. Their bytes are what arrives meanwhile:
/// at 52 MB/s for each node that publishes, 32 MB in this case.
const SUBSCRIPTION: usize = 65_536;

/// async-nats closes a connection when the third ping is not answered. The node notices earlier:
/// this ends the task of a client that hangs in a write.
const PINGS: Duration = Duration::from_secs(2);

/// The longest text of a server in a reason, in characters.
const LONGEST_TEXT: usize = 200;

/// A connection that works.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) all: Subscriber,
    pub(super) own: Subscriber,
    pub(super) replies: Subscriber,
    pub(super) alarm: Arc<Alarm>,
    pub(super) max_payload: usize,
    /// Other servers of the same cluster, each as `host:port`.
    pub(super) announced: Vec<String>,
}

/// What async-nats reports of one connection.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// The connection is lost.
    pub(super) lost: CancellationToken,
    /// What the server last said was wrong.
    said: Mutex<Option<String>>,
}

impl Alarm {
    /// What the server said, if it said anything.
    pub(super) fn said(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hear(&self, event: &Event, shared: &Weak<Shared>) {
        match event {
            Event::Disconnected | Event::Closed => self.lost.cancel(),
            Event::SlowConsumer(_) => {
                if let Some(shared) = shared.upgrade() {
                    shared.events.lose(1);
                }
            }
            Event::ServerError(error) => {
                let text = match error {
                    ServerError::Other(text) => text.chars().take(LONGEST_TEXT).collect(),
                    error => error.to_string(),
                };
                *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            }
            _ => {}
        }
    }
}

/// Connects, or says why not.
pub(super) async fn dial(
    options: &Nats,
    server: &Server,
    node: NodeId,
    shared: &Arc<Shared>,
) -> Result<Connection, String> {
    let alarm = Arc::new(Alarm::default());
    let connecting = connect(options, server, node, shared, Arc::clone(&alarm));
    let client = timeout(SERVER, connecting)
        .await
        .unwrap_or_else(|_| Err(format!("{server} did not answer in time: check that it is reachable")))?;
    let proving = prove(&client, &shared.subjects);
    let (all, own, replies) = match timeout(PROOF, proving).await {
        Ok(Ok(subscribers)) => subscribers,
        Ok(Err(())) => return Err(format!("the connection to {server} was lost")),
        Err(_) => {
            return Err(match alarm.said() {
                Some(said) => format!(
                    "{server} says {said:?}: allow the user of this hub to publish and to subscribe to {:?}",
                    shared.subjects.permission()
                ),
                None => format!("{server} is connected, but does not pass packets on"),
            });
        }
    };
    let info = client.server_info();
    Ok(Connection { all, own, replies, alarm, max_payload: info.max_payload, announced: info.connect_urls, client })
}

async fn connect(
    options: &Nats,
    server: &Server,
    node: NodeId,
    shared: &Arc<Shared>,
    alarm: Arc<Alarm>,
) -> Result<Client, String> {
    if options.demands_tls() && CryptoProvider::get_default().is_none() {
        // async-nats takes the provider of the process, and panics if there is none and two could
        // be. Another thread may have set one meanwhile.
        let _ = ring::default_provider().install_default();
    }
    let owned = options.clone();
    let read = spawn_blocking(move || owned.connect_options()).await.map_err(|error| error.to_string())?;
    let shared = Arc::downgrade(shared);
    let connected = Arc::new(AtomicBool::new(false));
    let again = Arc::clone(&connected);
    let client = read
        .map_err(|error| crate::Report(&error).to_string())?
        .name(options.node_name(node))
        .connection_timeout(ADDRESS)
        .ping_interval(PINGS)
        .subscription_capacity(SUBSCRIPTION)
        .ignore_discovered_servers()
        // 0 would be no limit. After its end, a client that is not used any more tries once to come
        // back, and then finds that it is not used.
        .max_reconnects(1)
        .reconnect_delay_callback(move |_| if again.load(Relaxed) { ADDRESS } else { Duration::ZERO })
        .event_callback(move |event| {
            alarm.hear(&event, &shared);
            ready(())
        })
        .connect(server.to_string())
        .await
        .map_err(|error| reason(server, error.kind(), &error))?;
    connected.store(true, Relaxed);
    Ok(client)
}

/// Says why a server cannot be connected to, and what to do.
fn reason(server: &Server, kind: ConnectErrorKind, error: &dyn std::error::Error) -> String {
    let cause = error.source().map_or_else(|| error.to_string(), |cause| crate::Report(cause).to_string());
    let cause: String = cause.chars().take(LONGEST_TEXT).collect();
    let advice = match kind {
        ConnectErrorKind::AuthorizationViolation => {
            return format!(
                "{server} rejected the login of this hub: check its user and password, token, nkey or credentials"
            );
        }
        ConnectErrorKind::Authentication => {
            return format!("this hub cannot sign for {server}: check its nkey or its credentials");
        }
        ConnectErrorKind::TimedOut => {
            return format!("{server} did not answer in time: check that it is reachable");
        }
        ConnectErrorKind::Dns => "check the name of the server",
        ConnectErrorKind::Tls => "check the certificates",
        _ if cause.contains("certificate") => {
            "check `root_certificates`, and that the URL has the name of the certificate"
        }
        _ => "check that NATS runs there",
    };
    format!("cannot connect to {server} ({cause}): {advice}")
}

/// Subscribes, and waits until a packet to each subject has come back. NATS does not acknowledge a
/// subscription.
async fn prove(client: &Client, subjects: &Subjects) -> Result<(Subscriber, Subscriber, Subscriber), ()> {
    let subscribe = |subject| async { client.subscribe(subject).await.map_err(|_| ()) };
    let mut all = subscribe(subjects.all.clone()).await?;
    let mut own = subscribe(subjects.own.clone()).await?;
    let mut replies = subscribe(subjects.own_replies()).await?;
    let publish = |subject| async {
        client.publish_with_reply(subject, subjects.probe.clone(), Bytes::new()).await.map_err(|_| ())
    };
    publish(subjects.all.clone()).await?;
    publish(subjects.own.clone()).await?;
    publish(subjects.probe.clone()).await?;
    // Other packets are not for this link, which is not up yet.
    for subscriber in [&mut all, &mut own, &mut replies] {
        while subscriber.next().await.ok_or(())?.reply.as_ref() != Some(&subjects.probe) {}
    }
    Ok((all, own, replies))
}
