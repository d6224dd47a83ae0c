//! Dead links, and servers that reject.
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};
use wsx::{
    Backoff, CancellationToken, Client, ClientState, CloseCode, ClosedBy, Config, ConnectError, Connection, Envelope,
    Hub, Rejection, Setback, http::StatusCode,
};
use wsx_tests::{
    Log, Server,
    handshake::{head, upgrade},
    jump, query_id, round_trip, within,
};

/// Short, because these tests do not wait for a network.
fn quick() -> Backoff {
    Backoff::default().initial(Duration::from_millis(5)).max(Duration::from_millis(20))
}

fn beating() -> Config {
    Config::default().heartbeat(Duration::from_millis(50), Duration::from_millis(100))
}

/// Row R1: single bytes are a sign of life, although they are neither a message nor a pong.
#[tokio::test(start_paused = true)]
async fn a_message_that_trickles_in_keeps_its_connection() {
    let hub = Hub::builder().config(beating()).without_handlers().build().unwrap();
    let handler = hub.ws_handler(query_id, |_| {});
    let (mut peer, far) = tokio::io::duplex(1024);
    let opening = tokio::spawn(async move { handler.serve_connection(far, None).await });
    peer.write_all(upgrade("/ws?id=slow", "").as_bytes()).await.unwrap();
    head(&mut peer).await;
    let conn = within(opening).await.unwrap().unwrap();
    // A masked text frame of 20 bytes.
    let mut frame = vec![0x81, 0x80 | 20, 0, 0, 0, 0];
    frame.extend_from_slice(b"twenty bytes of text");
    for byte in frame {
        peer.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!conn.is_closed());
    let mut sink = [0; 64];
    assert!(within(peer.read(&mut sink)).await.unwrap() > 0, "the server has sent a ping meanwhile");
}

/// Row R1: bytes that arrive while a handler runs wait in the kernel's buffer. The peer does not
/// count as silent.
#[tokio::test]
async fn a_slow_handler_does_not_count_as_a_silent_peer() {
    let (done, answer) = (Log::default(), Log::default());
    let hub = Hub::builder().config(beating()).without_handlers().build().unwrap();
    let log = done.clone();
    let handler = hub.ws_handler(query_id, move |conn| {
        let log = log.clone();
        conn.register_handler("work", move |for_ms: u64, conn: Connection| {
            let log = log.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(for_ms)).await;
                log.add(conn.is_closed());
                Envelope::with_type("worked", for_ms)
            }
        });
    });
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let log = answer.clone();
    let client = Client::builder(server.url("box-7")).reconnect(false).build().unwrap();
    let register = move |conn: &Connection| {
        let log = log.clone();
        conn.register_handler("worked", move |ms: u64, _| {
            log.add(ms);
            async {}
        });
    };
    within(client.connect(CancellationToken::new(), register)).await.unwrap();
    // Several times the interval plus the timeout.
    client.send(&Envelope::with_type("work", 600)).await.unwrap();
    assert!(!done.next().await, "the connection was closed meanwhile");
    assert_eq!(answer.next().await, 600);
}

/// Row R1: when the handler has returned, silence counts again.
#[tokio::test]
async fn a_dead_link_is_found_after_a_handler_that_took_long() {
    let hub = Hub::builder().config(beating()).without_handlers().build().unwrap();
    let handler = hub.ws_handler(query_id, |conn| {
        conn.register_handler("work", |_: u64, _| tokio::time::sleep(Duration::from_millis(300)));
    });
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    // This peer never reads, so it does not answer pings.
    let mut peer = server.peer("box-7").await;
    let conn = server.hub.connection("box-7").unwrap();
    peer.send_envelope("work", 1.into()).await;
    let closed = within(conn.closed()).await;
    assert!(closed.by == ClosedBy::Link && closed.reason.contains("silent"), "{closed}");
}

/// Row V1: a duration beyond the range of the clock never expires, in every setting.
#[tokio::test]
async fn the_longest_durations_mean_for_ever() {
    const FOREVER: Duration = Duration::MAX;
    let config = Config::default()
        .heartbeat(FOREVER, FOREVER)
        .write_timeout(FOREVER)
        .close_timeout(FOREVER)
        .handshake_timeout(FOREVER);
    for config in [config.clone().heartbeat(Duration::from_millis(20), FOREVER), config] {
        let server = Server::start(Hub::builder().config(config.clone()).without_handlers().build().unwrap()).await;
        let backoff = Backoff::default().initial(FOREVER).max(FOREVER).stable_after(FOREVER);
        let client = Client::builder(server.url("box-7")).config(config).backoff(backoff).build().unwrap();
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
        let (near, far) = (client.connection().unwrap(), server.hub.connection("box-7").unwrap());
        // More than a socket takes at once, so that the writer has to wait.
        within(near.send_binary(vec![0; 1 << 20])).await.unwrap();
        jump(Duration::from_secs(365 * 86_400)).await;
        round_trip(&near).await;
        round_trip(&far).await;
        far.close();
        let (near, far) = within(async { tokio::join!(near.closed(), far.closed()) }).await;
        assert_eq!((u16::from(near.code), u16::from(far.code)), (1000, 1000));
        within(client.state().wait_for(|state| matches!(state, ClientState::Waiting { .. }))).await.unwrap();
        client.close();
        within(client.closed()).await;
        assert_eq!(within(server.hub.shutdown(FOREVER)).await, 0);
    }
}

/// Row R1: `send_every` sends a message at each interval of a connection, and keeps none for the
/// next connection.
#[tokio::test(start_paused = true)]
async fn a_message_is_sent_at_every_interval_of_a_connection() {
    const INTERVAL: Duration = Duration::from_secs(5);
    const AWAY: Duration = Duration::from_secs(18);
    let beats = Log::default();
    let beating = |log: Log<u64>, address: &str| {
        let hub = Hub::builder().without_handlers().build().unwrap();
        let handler = hub.ws_handler(query_id, move |conn| {
            let log = log.clone();
            conn.register_handler("beat", move |n: u64, _| {
                log.add(n);
                async {}
            });
        });
        let address = address.to_owned();
        async move { Server::start_at(hub, handler, &address).await }
    };
    let server = beating(beats.clone(), "127.0.0.1:0").await;
    let client =
        Client::builder(server.url("box-7")).backoff(Backoff::default().initial(AWAY).max(AWAY)).build().unwrap();
    // The time of each message that was made.
    let made = Log::default();
    let beat = client.send_every(INTERVAL, {
        let (log, mut n) = (made.clone(), 0);
        move || {
            n += 1;
            log.add(Instant::now());
            Envelope::with_type("beat", n)
        }
    });
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    let start = Instant::now();
    let beat = tokio::spawn(beat);
    for n in 0..3 {
        assert_eq!(made.next().await - start, n * INTERVAL);
        assert_eq!(beats.next().await, u64::from(n) + 1);
    }
    let address = server.address.clone();
    server.stop().await;
    let mut state = client.state();
    within(state.wait_for(|state| matches!(state, ClientState::Waiting { .. }))).await.unwrap();
    let server = beating(beats.clone(), &address).await;
    let away_since = Instant::now();
    within(client.connected()).await.unwrap();
    assert!(away_since.elapsed() > INTERVAL, "the connection was away for less than an interval");
    assert!(made.try_next().is_none() && beats.try_next().is_none(), "a message was made without a connection");
    for n in 4..7 {
        let at = made.next().await;
        assert_eq!((at - start).as_secs() % INTERVAL.as_secs(), 0, "{:?}", at - start);
        assert_eq!(beats.next().await, n);
    }
    client.close();
    within(beat).await.unwrap().unwrap();
    server.stop().await;
    assert!(made.try_next().is_none());
}

/// Row R1: the heartbeat is off by default.
#[test]
fn nothing_pings_by_default() {
    assert_eq!(Config::default().heartbeat, None);
}

/// Starts a server that rejects with this status, and returns its URL.
async fn rejecting(status: StatusCode) -> String {
    let hub = Hub::builder().without_handlers().build().unwrap();
    let handler =
        hub.ws_handler(move |_| async move { Err::<String, _>(Rejection::new(status, "no")) }, |_: &Connection| {});
    // Its task runs until the test's runtime is dropped.
    Server::start_at(hub, handler, "127.0.0.1:0").await.url("box-7")
}

/// Row R2: the application decides which rejections end the attempts.
#[tokio::test]
async fn a_client_gives_up_on_a_rejection_if_configured() {
    for status in [401, 403, 404, 410] {
        let url = rejecting(StatusCode::from_u16(status).unwrap()).await;
        let client = Client::builder(url).backoff(quick()).give_up(Setback::is_refusal).build().unwrap();
        let error = within(client.connect(CancellationToken::new(), |_| {})).await.unwrap_err();
        assert!(matches!(error, ConnectError::Rejected { status: given, .. } if given == status), "{error}");
        assert_eq!(*client.state().borrow(), ClientState::Disconnected);
        within(client.closed()).await;
    }
}

/// Row R2: after a temporary rejection the client retries. After any other it retries too, unless
/// `give_up` says otherwise.
#[tokio::test]
async fn a_client_retries_after_a_temporary_rejection() {
    let deciding = |decide: bool, url: String| {
        let builder = Client::builder(url).backoff(quick());
        if decide { builder.give_up(Setback::is_refusal).build().unwrap() } else { builder.build().unwrap() }
    };
    let mut clients = vec![deciding(false, rejecting(StatusCode::UNAUTHORIZED).await)];
    for passing in [408, 426, 429, 500, 502, 503, 504] {
        clients.push(deciding(true, rejecting(StatusCode::from_u16(passing).unwrap()).await));
    }
    for client in clients {
        let cancel = CancellationToken::new();
        let mut state = client.state();
        let third = async {
            let met = state.wait_for(|state| matches!(state, ClientState::Connecting { attempt } if *attempt >= 3));
            met.await.unwrap();
            cancel.cancel();
        };
        let (connected, ()) = within(async { tokio::join!(client.connect(cancel.clone(), |_| {}), third) }).await;
        assert!(matches!(connected, Err(ConnectError::Closed)));
    }
}

/// Row R2: two programs with one id do not replace each other for ever. A close with 1008 or 1009
/// counts as a refusal too.
#[tokio::test]
async fn a_client_gives_up_when_its_peer_closes_with_replaced_1008_or_1009() {
    for code in [CloseCode::REPLACED, CloseCode::POLICY_VIOLATION, CloseCode::MESSAGE_TOO_BIG] {
        let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
        let client =
            Client::builder(server.url("box-7")).backoff(quick()).give_up(Setback::is_refusal).build().unwrap();
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
        let mut state = client.state();
        if code == CloseCode::REPLACED {
            let _other = server.peer("box-7").await;
            within(state.wait_for(|state| *state == ClientState::Disconnected)).await.unwrap();
        } else {
            server.hub.connection("box-7").unwrap().close_with(code, "account closed");
            within(state.wait_for(|state| *state == ClientState::Disconnected)).await.unwrap();
        }
        // The program may connect again.
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    }
}

/// Row R2: after any other close the client reconnects.
#[tokio::test]
async fn a_client_reconnects_after_any_other_close() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let client = Client::builder(server.url("box-7")).backoff(quick()).give_up(Setback::is_refusal).build().unwrap();
    let opened = Log::default();
    let log = opened.clone();
    within(client.connect(CancellationToken::new(), move |_| log.add(()))).await.unwrap();
    for code in [CloseCode::NORMAL, CloseCode::GOING_AWAY, CloseCode::INTERNAL_ERROR, CloseCode::TRY_AGAIN_LATER] {
        opened.next().await;
        within(client.connected()).await.unwrap();
        server.hub.connection("box-7").unwrap().close_with(code, "");
    }
    opened.next().await;
}
