//! A hub and a client that send each other numbered messages over any link between them.
use crate::{
    Server,
    numbered::{Arrivals, Verdict, send_all},
    query_id,
    weak_link::{WeakLink, Weakness},
};
use std::{ops::Range, time::Duration};
use tokio::{net::TcpListener, time::timeout};
use wsx::{Backoff, CancellationToken, Client, Config, Connection, Hub, Untyped};

/// Time limit for the client to connect. A handshake whose packets are lost takes some seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The two ends, and the messages that arrived at each.
#[derive(Debug)]
pub struct Exchange {
    /// Its only connection is `box-7`.
    pub server: Server<Untyped>,
    /// Reconnects at once when its connection breaks.
    pub client: Client,
    /// The messages from the client.
    pub at_server: Arrivals,
    /// The messages from the hub.
    pub at_client: Arrivals,
}

impl Exchange {
    /// Connects the two over a weak link. The link works until the returned value is dropped.
    ///
    /// # Panics
    ///
    /// When the two do not connect.
    pub async fn over(weakness: Weakness, config: Config) -> (Self, WeakLink) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let link = WeakLink::start(&address, weakness);
        (Self::connected(listener, &link.address, config).await, link)
    }

    /// Connects the two over a listener that the caller has bound.
    ///
    /// # Panics
    ///
    /// When the two do not connect.
    pub async fn on(listener: TcpListener, config: Config) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        Self::connected(listener, &address, config).await
    }

    async fn connected(listener: TcpListener, address: &str, config: Config) -> Self {
        let (at_server, at_client) = (Arrivals::default(), Arrivals::default());
        let hub = Hub::builder()
            .config(config.clone())
            .without_handlers()
            .build()
            .expect("a hub without handlers has nothing to check");
        let arrivals = at_server.clone();
        let upgrade = hub.ws_handler(query_id, move |conn| arrivals.record(conn));
        let server = Server::start_on(hub, upgrade, listener);
        let backoff = Backoff::default().initial(Duration::from_millis(5)).max(Duration::from_millis(20));
        let client =
            Client::builder(format!("ws://{address}/ws?id=box-7")).config(config).backoff(backoff).build().unwrap();
        let arrivals = at_client.clone();
        let connecting = client.connect(CancellationToken::new(), move |conn| arrivals.record(conn));
        timeout(TIME_LIMIT, connecting).await.expect("the client connects in time").expect("the URL is valid");
        Self { server, client, at_server, at_client }
    }

    /// Returns the two ends of the present connection: the client's, then the hub's.
    ///
    /// # Panics
    ///
    /// When the two are not connected.
    #[must_use]
    pub fn connection(&self) -> [Connection; 2] {
        let near = self.client.connection().expect("the client is connected");
        [near, self.server.hub.connection("box-7").expect("it is in the hub")]
    }

    /// Sends these numbers in both directions at once. Each number is retried until it is accepted.
    pub async fn send(&self, numbers: Range<u64>) {
        tokio::join!(
            send_all(numbers.clone(), |message| self.client.send(&message)),
            send_all(numbers, |message| async move { self.server.hub.send_to("box-7", &message).await.map(drop) }),
        );
    }

    /// Waits until this many messages have arrived in each direction, or until no more arrive.
    pub async fn arrive(&self, messages: u64) {
        let messages = usize::try_from(messages).unwrap_or(usize::MAX);
        // A missing message is reported by the verdicts, in more detail.
        let _ = tokio::join!(self.at_server.wait_for(messages), self.at_client.wait_for(messages));
    }

    /// Returns what happened to the numbers below `sent`, on their way to the hub and to the
    /// client.
    #[must_use]
    pub fn verdicts(&self, sent: u64) -> [Verdict; 2] {
        [self.at_server.verdict(sent), self.at_client.verdict(sent)]
    }

    /// Returns how many connections the client has had.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.at_client.connections()
    }

    /// Closes both ends. Queued messages still arrive if the link works.
    pub async fn close(&self) {
        self.server.hub.shutdown(TIME_LIMIT).await;
        self.client.close();
        let _ = timeout(TIME_LIMIT, self.client.closed()).await;
    }
}
