//! A hub and a client that send each other numbered messages, over whatever is between them.
use crate::{
    Server,
    numbered::{Arrivals, Verdict, send_all},
    query_id,
    weak_link::{WeakLink, Weakness},
};
use std::{ops::Range, time::Duration};
use tokio::{net::TcpListener, time::timeout};
use wsx::{Backoff, CancellationToken, Client, Config, Connection, Hub, Untyped};

/// A client that needs longer than this to connect does not connect. A handshake whose packets are lost takes some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The two ends, and what arrived at each.
#[derive(Debug)]
pub struct Exchange {
    /// Its only client is `box-7`.
    pub server: Server<Untyped>,
    /// Comes back at once when its connection breaks.
    pub client: Client,
    /// What the client sent.
    pub at_server: Arrivals,
    /// What the hub sent.
    pub at_client: Arrivals,
}

impl Exchange {
    /// With a weak link between the two, which lives as long as what is returned.
    ///
    /// # Panics
    ///
    /// When they do not connect.
    pub async fn over(weakness: Weakness, config: Config) -> (Self, WeakLink) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let link = WeakLink::start(&address, weakness);
        (Self::connected(listener, &link.address, config).await, link)
    }

    /// On this listener.
    ///
    /// # Panics
    ///
    /// When they do not connect.
    pub async fn on(listener: TcpListener, config: Config) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        Self::connected(listener, &address, config).await
    }

    async fn connected(listener: TcpListener, address: &str, config: Config) -> Self {
        let (at_server, at_client) = (Arrivals::default(), Arrivals::default());
        let hub =
            Hub::builder().config(config.clone()).without_handlers().build().expect("there is nothing to be wrong");
        let arrivals = at_server.clone();
        let door = hub.ws_handler(query_id, move |conn| arrivals.note(conn));
        let server = Server::start_on(hub, door, listener);
        let backoff = Backoff::default().initial(Duration::from_millis(5)).max(Duration::from_millis(20));
        let client =
            Client::builder(format!("ws://{address}/ws?id=box-7")).config(config).backoff(backoff).build().unwrap();
        let arrivals = at_client.clone();
        let connecting = client.connect(CancellationToken::new(), move |conn| arrivals.note(conn));
        timeout(PATIENCE, connecting).await.expect("the client connects in time").expect("the URL is right");
        Self { server, client, at_server, at_client }
    }

    /// The client's end of the connection that there is now, and the server's.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn connection(&self) -> [Connection; 2] {
        let near = self.client.connection().expect("the client is connected");
        [near, self.server.hub.connection("box-7").expect("it is in the hub")]
    }

    /// Sends these each way at once, each until it is accepted.
    pub async fn send(&self, numbers: Range<u64>) {
        tokio::join!(
            send_all(numbers.clone(), |message| self.client.send(&message)),
            send_all(numbers, |message| async move { self.server.hub.send_to("box-7", &message).await }),
        );
    }

    /// Waits until so many have arrived each way, or no more come.
    pub async fn arrive(&self, messages: u64) {
        let messages = usize::try_from(messages).unwrap_or(usize::MAX);
        // Whatever came, the verdicts say it better.
        let _ = tokio::join!(self.at_server.reach(messages), self.at_client.reach(messages));
    }

    /// What became of the numbers from 0 to this one, on their way to the server and to the client.
    #[must_use]
    pub fn verdicts(&self, sent: u64) -> [Verdict; 2] {
        [self.at_server.verdict(sent), self.at_client.verdict(sent)]
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.at_client.connections()
    }

    /// Closes both ends. What is queued still arrives if the link lives.
    pub async fn close(&self) {
        self.server.hub.shutdown(PATIENCE).await;
        self.client.close();
        let _ = timeout(PATIENCE, self.client.closed()).await;
    }
}
