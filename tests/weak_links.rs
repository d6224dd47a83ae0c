//! Weak links: row R7 of the specification. Nothing is lost, doubled or reordered while a connection lives, nothing doubled
//! or reordered when it does not, and a link that died is found.
//!
//! Each end is wsx, the link between them a proxy; `interop` has peers of others behind it, and `tests/weak_networks.sh`
//! loses packets.
use std::{ops::Range, time::Duration};
use tokio::time::{Instant, pause, resume, sleep, timeout};
use wsx::{Backoff, CancellationToken, Client, ClosedBy, Config, Connection, Hub};
use wsx_tests::{
    Log, Server,
    numbered::{Arrivals, Verdict, send_all},
    query_id,
    weak_link::{WeakLink, Weakness},
    within,
};

/// 256 kbit/s.
const SLOW: u32 = 32_000;

/// A hub and a client with a link between them, and what arrived at each.
struct Ends {
    server: Server<wsx::Untyped>,
    link: WeakLink,
    client: Client,
    at_server: Arrivals,
    at_client: Arrivals,
}

impl Ends {
    async fn connected(weakness: Weakness, config: Config) -> Self {
        let (at_server, at_client) = (Arrivals::default(), Arrivals::default());
        let hub = Hub::builder().config(config.clone()).without_handlers().build().unwrap();
        let arrivals = at_server.clone();
        let door = hub.ws_handler(query_id, move |conn| arrivals.note(conn));
        let server = Server::start_at(hub, door, "127.0.0.1:0").await;
        let link = WeakLink::start(&server.address, weakness).await;
        let backoff = Backoff::default().initial(Duration::from_millis(5)).max(Duration::from_millis(20));
        let client = Client::builder(link.url(&server.url("box-7"))).config(config).backoff(backoff).build();
        let arrivals = at_client.clone();
        within(client.connect(CancellationToken::new(), move |conn| arrivals.note(conn))).await.unwrap();
        Self { server, link, client, at_server, at_client }
    }

    /// Both ends of the connection that there is now.
    fn connection(&self) -> [Connection; 2] {
        [self.client.connection().unwrap(), self.server.hub.get("box-7").unwrap()]
    }

    /// Sends these each way at once.
    async fn send(&self, numbers: Range<u64>) {
        tokio::join!(
            send_all(numbers.clone(), |message| self.client.send(&message)),
            send_all(numbers, |message| async move { self.server.hub.send_to("box-7", &message).await }),
        );
    }

    /// What became of so many each way, which all must have arrived.
    async fn all_arrive(&self, messages: u64) {
        let expected = usize::try_from(messages).unwrap();
        // Whatever came, the verdict says it better.
        let _ = tokio::join!(self.at_server.reach(expected), self.at_client.reach(expected));
        for verdict in self.verdicts(messages) {
            assert!(verdict.is_perfect(), "{verdict}");
        }
        assert_eq!((self.at_server.connections(), self.at_client.connections()), (1, 1), "it reconnected");
    }

    fn verdicts(&self, sent: u64) -> [Verdict; 2] {
        [self.at_server.verdict(sent), self.at_client.verdict(sent)]
    }
}

/// Row R7: each byte by itself, so that every frame comes in pieces.
#[tokio::test]
async fn nothing_is_lost_where_each_byte_comes_alone() {
    let weakness = Weakness { byte_by_byte: true, ..Weakness::default() };
    let ends = Ends::connected(weakness, Config::default()).await;
    ends.send(0..1_500).await;
    ends.all_arrive(1_500).await;
}

/// Row R7: 50 to 200 ms on the way, each time another.
#[tokio::test]
async fn nothing_is_lost_on_a_long_way() {
    let weakness = Weakness { delay: Duration::from_millis(50)..Duration::from_millis(200), ..Weakness::default() };
    let ends = Ends::connected(weakness, Config::default()).await;
    ends.send(0..5_000).await;
    ends.all_arrive(5_000).await;
}

/// Row R7: 256 kbit/s, late, and byte by byte.
#[tokio::test]
async fn nothing_is_lost_where_all_is_wrong_at_once() {
    let weakness = Weakness {
        delay: Duration::from_millis(50)..Duration::from_millis(200),
        rate: Some(SLOW),
        byte_by_byte: true,
        ..Weakness::default()
    };
    let ends = Ends::connected(weakness, Config::default()).await;
    ends.send(0..1_500).await;
    ends.all_arrive(1_500).await;
}

/// Row R7: a link that pauses for less than the write timeout carries on where it was.
#[tokio::test]
async fn nothing_is_lost_over_a_pause() {
    let ends = Ends::connected(Weakness::default(), Config::default()).await;
    let pauses = async {
        for _ in 0..10 {
            ends.link.fall_silent();
            sleep(Duration::from_millis(100)).await;
            ends.link.heal();
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::join!(ends.send(0..20_000), pauses);
    ends.all_arrive(20_000).await;
}

/// Row R7: resets in the middle of frames; the client comes back each time, and nothing comes twice or too late.
#[tokio::test]
async fn a_reset_doubles_nothing_and_changes_no_order() {
    const MESSAGES: u64 = 10_000;
    const BURST: u64 = 20;
    let weakness = Weakness { cut_after: Some(500..100_000), ..Weakness::default() };
    let ends = Ends::connected(weakness, Config::default()).await;
    for first in (0..MESSAGES).step_by(BURST as usize) {
        ends.send(first..first + BURST).await;
        // So that most of it arrives before the next cut, and there is something to be doubled.
        sleep(Duration::from_millis(1)).await;
    }
    let cuts = ends.at_client.connections() - 1;
    ends.client.close();
    within(ends.client.closed()).await;
    within(ends.server.hub.shutdown(Duration::from_secs(15))).await;
    for verdict in ends.verdicts(MESSAGES) {
        assert!(verdict.is_at_most_once() && verdict.arrived > MESSAGES / 2, "{verdict} over {cuts} cuts");
    }
    assert!(cuts >= 5, "only {cuts} cuts");
}

/// Rows R1, R7: a link that died without a word is found at both ends, and the client comes back once it is there again.
#[tokio::test]
async fn a_heartbeat_finds_a_black_hole_at_both_ends() {
    const INTERVAL: Duration = Duration::from_secs(30);
    const TIMEOUT: Duration = Duration::from_secs(10);
    let ends = Ends::connected(Weakness::default(), Config::default().heartbeat(INTERVAL, TIMEOUT)).await;
    ends.send(0..100).await;
    ends.all_arrive(100).await;
    let [near, far] = ends.connection();
    ends.link.fall_silent();
    // Nothing comes through any more, so the clock may run ahead.
    pause();
    let start = Instant::now();
    let ended = |conn: Connection| async move { (conn.closed().await, start.elapsed()) };
    let both = timeout(Duration::from_secs(3600), async { tokio::join!(ended(near), ended(far)) }).await;
    resume();
    let (near, far) = both.expect("nobody noticed within an hour");
    for (closed, after) in [near, far] {
        assert_eq!((u16::from(closed.code), closed.by), (1006, ClosedBy::Link));
        assert!(closed.reason.contains("silent"), "{closed}");
        // Timers count in milliseconds.
        assert!(after <= INTERVAL + TIMEOUT + Duration::from_millis(5), "{after:?}");
        assert!(after >= TIMEOUT, "{after:?}");
    }
    // The handshakes that the client has begun meanwhile are given up by now.
    ends.link.cut();
    ends.link.heal();
    within(ends.client.connected()).await.unwrap();
    ends.send(100..200).await;
    let _ = tokio::join!(ends.at_server.reach(200), ends.at_client.reach(200));
    for verdict in ends.verdicts(200) {
        assert!(verdict.is_perfect(), "{verdict}");
    }
}

/// Row R1: pings and pongs keep an idle connection, from both ends.
#[tokio::test]
async fn a_heartbeat_keeps_an_idle_connection() {
    let config = Config::default().heartbeat(Duration::from_millis(20), Duration::from_secs(10));
    let ends = Ends::connected(Weakness::default(), config).await;
    for conn in ends.connection() {
        let pongs = Log::default();
        let log = pongs.clone();
        conn.on_pong(move |payload| log.add(payload.len()));
        for _ in 0..5 {
            assert_eq!(pongs.next().await, 0);
        }
        assert!(!conn.is_closed());
    }
}
