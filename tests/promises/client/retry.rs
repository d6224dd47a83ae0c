//! Row K22: `retry_now`, and `connect` on a client that is not idle.
use futures_util::FutureExt;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::DuplexStream,
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
    time::Instant,
};
use wsx::{
    Backoff, CancellationToken, Client, ClientState, CloseCode, ClosedBy, Config, ConnectError, Connection, Hub,
    client::{Destination, Urls},
};
use wsx_tests::{
    Log, Server, recorder, round_trip,
    weak_link::{WeakLink, Weakness},
    within,
};

/// Waits that a test does not survive.
fn hours() -> Backoff {
    Backoff::default().initial(Duration::from_secs(7200)).max(Duration::from_secs(7200))
}

/// Row K22: `retry_now` cuts a wait short. The next wait is a whole one.
#[tokio::test(start_paused = true)]
async fn retry_now_cuts_a_wait_short() {
    let (dialled, mut dials) = mpsc::unbounded_channel();
    let connector = move |_: Destination| {
        let _ = dialled.send(Instant::now());
        async { Err::<DuplexStream, _>(io::ErrorKind::ConnectionRefused.into()) }
    };
    let client = Client::builder("ws://a/ws").connector(connector).jitter(|| 0.5).build().unwrap();
    client.retry_now();
    let connecting = client.clone();
    tokio::spawn(async move { connecting.start(CancellationToken::new()).await.map(drop) });
    let mut state = client.state();
    let mut last = dials.recv().await.unwrap();
    for (failures, cut) in (1..).zip([true, false, true, true, false]) {
        let waits = |state: &ClientState| matches!(state, ClientState::Waiting { attempt, .. } if *attempt == failures);
        let ClientState::Waiting { delay, .. } = *within(state.wait_for(waits)).await.unwrap() else {
            unreachable!("the state was awaited")
        };
        if cut {
            client.retry_now();
        }
        let at = dials.recv().await.unwrap();
        let expected = if cut { Duration::ZERO } else { delay };
        assert!((at - last).abs_diff(expected) < Duration::from_millis(2), "{:?} and not {expected:?}", at - last);
        last = at;
    }
    client.close();
}

/// Row K22: `retry_now` replaces a dead link at once. The old connection ends, is reported, and its
/// handler does not delay the new one.
#[tokio::test]
async fn retry_now_replaces_a_dead_link() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let link = WeakLink::start(&server.address, Weakness::default());
    let urls = [link.url(&server.url("box-7")), server.url("box-7")];
    let (next, (recorder, mut memory), started, ended) =
        (AtomicUsize::new(0), recorder(), Log::default(), Log::default());
    let urls = Urls::per_attempt(move |_| {
        let url = urls[next.fetch_add(1, Ordering::Relaxed).min(1)].clone();
        async move { Ok(url) }
    });
    let (log, closes) = (started.clone(), ended.clone());
    let client = Client::builder(urls)
        .backoff(hours())
        .observer(recorder)
        .on("hang", move |_: u32, _| {
            log.add(());
            std::future::pending::<()>()
        })
        .on("__close__", move |closed: wsx::Closed, _| {
            closes.add(closed);
            async {}
        })
        .build()
        .unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    let old = client.connection().unwrap();
    server.hub.send_to("box-7", &wsx::Envelope::with_type("hang", 1)).await.unwrap();
    started.next().await;
    link.fall_silent();
    client.retry_now();
    let closed = within(old.closed()).await;
    assert_eq!((closed.code, closed.by), (CloseCode::ABNORMAL, ClosedBy::Us), "{closed}");
    within(client.connected()).await.unwrap();
    let new = client.connection().unwrap();
    assert_ne!(old, new);
    assert!(ended.try_next().is_none(), "the old handler still has its time");
    // The new connection works, and the end of the old one is reported.
    round_trip(&new.untyped()).await;
    client.close();
    assert_eq!(ended.next().await.by, ClosedBy::Us);
    let (_, closed) = memory.connection_closed().await;
    assert_eq!(closed.by, ClosedBy::Us);
    within(client.closed()).await;
}

/// Row K22: `retry_now` drops an attempt that hangs, and begins it again.
#[tokio::test]
async fn retry_now_restarts_an_attempt() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let (address, dials, calls) = (server.address.clone(), Log::default(), AtomicUsize::new(0));
    let log = dials.clone();
    let connector = move |_: Destination| {
        log.add(());
        let (address, hangs) = (address.clone(), calls.fetch_add(1, Ordering::Relaxed) == 0);
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            TcpStream::connect(address).await
        }
    };
    let client = Client::builder("ws://a/ws?id=a").connector(connector).backoff(hours()).build().unwrap();
    let starting = client.clone();
    let started = tokio::spawn(async move { starting.start(CancellationToken::new()).await.map(drop) });
    dials.next().await;
    client.retry_now();
    within(started).await.unwrap().unwrap();
    dials.next().await;
}

/// Row K22: a client that does not reconnect keeps its connection.
#[tokio::test]
async fn retry_now_does_not_end_a_client_without_reconnecting() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let client = Client::builder(server.url("a")).reconnect(false).build().unwrap();
    client.retry_now();
    within(client.start(CancellationToken::new())).await.unwrap();
    let conn = client.connection().unwrap();
    client.retry_now();
    round_trip(&conn).await;
    assert_eq!(client.connection(), Some(conn));
}

/// Row K22: many calls in a row leave one connection, and the client ends.
#[tokio::test]
async fn retry_now_many_times_leaves_one_connection() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let config = Config::default().close_timeout(Duration::from_secs(1));
    let client = Client::builder(server.url("a")).config(config).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    for _ in 0..50 {
        client.retry_now();
        tokio::task::yield_now().await;
        within(client.connected()).await.unwrap();
    }
    within(async {
        loop {
            within(client.connected()).await.unwrap();
            tokio::task::yield_now().await;
            let Some(conn) = client.connection() else { continue };
            if conn.ping(b"").await.is_ok() && server.hub.len() == 1 {
                break;
            }
        }
    })
    .await;
    client.close();
    within(client.closed()).await;
}

/// Row K22: `connect` on a client that waits joins the earlier call. On a connected one it is an
/// error.
#[tokio::test]
async fn connect_on_a_waiting_client_waits_for_its_connection() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let client = Client::builder(format!("ws://{address}/ws?id=a")).backoff(hours()).build().unwrap();
    let registered = Log::default();
    let connect = |n: u32, cancel: CancellationToken| {
        let (client, log) = (client.clone(), registered.clone());
        async move { client.connect(cancel, move |_: &Connection| log.add(n)).await.map(drop) }
    };
    let first = tokio::spawn(connect(1, CancellationToken::new()));
    let mut state = client.state();
    within(state.wait_for(|state| matches!(state, ClientState::Waiting { .. }))).await.unwrap();
    let cancel = CancellationToken::new();
    let mut cancelled = Box::pin(connect(2, cancel.clone()));
    assert!((&mut cancelled).now_or_never().is_none(), "the client waits");
    cancel.cancel();
    assert!(matches!(within(cancelled).await, Err(ConnectError::Closed)), "only this call ends");
    let second = tokio::spawn(connect(3, CancellationToken::new()));
    let hub = Hub::builder().without_handlers().build().unwrap();
    let server = Server::start_at(hub.clone(), hub.ws_handler(wsx_tests::query_id, |_| {}), &address).await;
    client.retry_now();
    within(first).await.unwrap().unwrap();
    within(second).await.unwrap().unwrap();
    assert_eq!((registered.next().await, registered.try_next()), (1, None));
    assert!(matches!(within(connect(4, CancellationToken::new())).await, Err(ConnectError::AlreadyConnected)));
    drop(server);
}

/// Row K22: when the earlier call gives up, the second begins.
#[tokio::test]
async fn connect_begins_when_the_earlier_call_has_failed() {
    let released = Arc::new(Mutex::new(()));
    let gate = released.clone().lock_owned().await;
    let connector = move |_: Destination| {
        let released = released.clone();
        async move {
            let _open = released.lock().await;
            Err::<DuplexStream, _>(io::Error::other("refused"))
        }
    };
    let client = Client::builder("ws://a/ws").connector(connector).reconnect(false).build().unwrap();
    let attempt = || {
        let client = client.clone();
        tokio::spawn(async move { client.start(CancellationToken::new()).await.map(drop) })
    };
    let (first, second) = (attempt(), attempt());
    tokio::task::yield_now().await;
    drop(gate);
    for call in [first, second] {
        assert!(matches!(within(call).await.unwrap(), Err(ConnectError::Dial { .. })));
    }
}

/// Row K22: a client that is cancelled closes its connection, also after `retry_now`.
#[tokio::test]
async fn a_cancellation_comes_before_retry_now() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    for _ in 0..20 {
        let client = Client::builder(server.url("a")).build().unwrap();
        let cancel = CancellationToken::new();
        within(client.start(cancel.clone())).await.unwrap();
        let conn = client.connection().unwrap();
        client.retry_now();
        cancel.cancel();
        let closed = within(conn.closed()).await;
        assert_eq!((closed.code, closed.by), (CloseCode::NORMAL, ClosedBy::Us), "{closed}");
        within(client.closed()).await;
    }
}

/// Row K22: a client that gave up is not connected, although the handler of a connection that was
/// replaced still runs.
#[tokio::test]
async fn a_client_that_gave_up_does_not_seem_connected() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let started = Log::default();
    let log = started.clone();
    let client = Client::builder(server.url("a"))
        .config(Config::default().close_timeout(Duration::from_secs(3600)))
        .give_up(|_| true)
        .on("hang", move |_: u32, _| {
            log.add(());
            std::future::pending::<()>()
        })
        .build()
        .unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    let old = client.connection().unwrap();
    server.hub.send_to("a", &wsx::Envelope::with_type("hang", 1)).await.unwrap();
    started.next().await;
    client.retry_now();
    within(old.closed()).await;
    within(client.connected()).await.unwrap();
    client.connection().unwrap().close();
    let mut state = client.state();
    within(state.wait_for(|state| *state == ClientState::Disconnected)).await.unwrap();
    assert!(client.connection().is_none());
}

/// Row K22: a message that waits for its handler is dropped, so that it is not handled after a
/// newer one. The running handler ends by itself.
#[tokio::test]
async fn retry_now_drops_messages_that_wait() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let (started, events, gate) = (Log::default(), Log::default(), Arc::new(tokio::sync::Notify::new()));
    let (log, handled, released) = (started.clone(), events.clone(), gate.clone());
    let ended = events.clone();
    let client = Client::builder(server.url("a"))
        .on("n", move |n: u32, _| {
            log.add(());
            let (released, handled) = (released.clone(), handled.clone());
            async move {
                released.notified().await;
                handled.add(n);
            }
        })
        .on("__close__", move |_: wsx::Closed, _| {
            ended.add(0);
            async {}
        })
        .build()
        .unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    let old = client.connection().unwrap();
    for n in [1, 2] {
        server.hub.send_to("a", &wsx::Envelope::with_type("n", n)).await.unwrap();
    }
    started.next().await;
    // The client has read the second message when it answers.
    round_trip(&server.hub.connection("a").unwrap()).await;
    client.retry_now();
    within(old.closed()).await;
    gate.notify_one();
    gate.notify_one();
    assert_eq!((events.next().await, events.next().await), (1, 0));
    assert!(started.try_next().is_none());
    client.close();
    within(client.closed()).await;
}
