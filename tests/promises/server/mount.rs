//! The hub at a path of the user's own HTTP server, axum or plain hyper.
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite;
use wsx::{CloseCode, Hub, server::WsHandler};
use wsx_tests::{Log, Peer, Server, handshake::upgrade, query_id, within};

#[derive(wsx::Endpoint, Default)]
struct Station {
    telemetry: Log<f64>,
}

#[wsx::handler("telemetry", on = Station)]
fn on_telemetry(station: &Station, celsius: f64) -> wsx::Envelope<&'static str> {
    station.telemetry.add(celsius);
    wsx::Envelope::with_type("thanks", "got it")
}

/// Serves the hub at `/ws` beside an ordinary page, with axum.
async fn axum(handler: WsHandler<Station>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "a page" })).route_service("/ws", handler);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// Serves the hub at every path, with plain hyper.
async fn hyper(handler: WsHandler<Station>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let io = TokioIo::new(stream);
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(io, handler.clone()).with_upgrades(),
            );
        }
    });
    address
}

/// Everything that has to work through another HTTP server: a message, a reply, a command, a
/// rejection, a frame right after the request, a close, a shutdown.
async fn works_at(address: String, hub: Hub<Station>) {
    let url = |id: &str| format!("ws://{address}/ws?id={id}");
    let mut peer = Peer::connect(&url("box-7")).await;
    peer.send_envelope("telemetry", json!(21.5)).await;
    assert_eq!(hub.endpoint().telemetry.next().await.to_string(), "21.5");
    assert_eq!(peer.receive_data().await, ("thanks".into(), json!("got it")));
    hub.send_to("box-7", &wsx::Envelope::with_type("cmd", true)).await.unwrap();
    assert_eq!(peer.receive_data().await, ("cmd".into(), json!(true)));

    let Err(tungstenite::Error::Http(answer)) = Peer::try_connect(&format!("ws://{address}/ws")).await else {
        panic!("it connected without an id")
    };
    assert_eq!(answer.status(), 400);

    // A frame in the same segment as the request.
    let mut early = TcpStream::connect(&address).await.unwrap();
    let mut bytes = upgrade("/ws?id=early", "").into_bytes();
    let text = br#"{"type":"telemetry","data":1.5}"#;
    bytes.extend_from_slice(&[0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0]);
    bytes.extend_from_slice(text);
    early.write_all(&bytes).await.unwrap();
    assert_eq!(hub.endpoint().telemetry.next().await.to_string(), "1.5");
    drop(early);

    hub.connection("box-7").unwrap().close_with(CloseCode::POLICY_VIOLATION, "enough");
    assert_eq!(peer.close().await, (1008, "enough".into()));
    // The answer to the close leaves with the next read.
    while let Some(Ok(_)) = peer.next().await {}

    let mut last = Peer::connect(&url("last")).await;
    let shutting_down = tokio::spawn({
        let hub = hub.clone();
        async move { hub.shutdown(Duration::from_secs(15)).await }
    });
    assert_eq!(last.close().await.0, 1001);
    while let Some(Ok(_)) = last.next().await {}
    assert_eq!(within(shutting_down).await.unwrap(), 0);
    let Err(tungstenite::Error::Http(answer)) = Peer::try_connect(&url("later")).await else {
        panic!("it connected after the shutdown")
    };
    assert_eq!(answer.status(), 503);
}

/// Row S1: in axum.
#[tokio::test]
async fn a_hub_works_behind_axum() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let address = axum(hub.ws_handler(query_id, |_| {})).await;
    works_at(address, hub).await;
}

/// Row S1: in plain hyper.
#[tokio::test]
async fn a_hub_works_behind_hyper() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let address = hyper(hub.ws_handler(query_id, |_| {})).await;
    works_at(address, hub).await;
}

/// Row S1: the same promises hold for the hub's own listener.
#[tokio::test]
async fn a_hub_works_on_its_own() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let handler = hub.ws_handler(query_id, |_| {});
    // Accepts also after the shutdown, as an HTTP server does, so that later connections get an
    // answer.
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let handler = handler.clone();
            tokio::spawn(async move { handler.serve_connection(stream, Some(peer)).await.map(drop) });
        }
    });
    works_at(address, hub).await;
}

/// Serves with axum until `stop`. The hub shuts down first, as the documentation of wsx's module
/// `hyper` shows.
async fn axum_until(handler: WsHandler<Station>, hub: Hub<Station>, stop: Arc<Notify>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "a page" })).route_service("/ws", handler);
    let hub_has_shut_down = async move {
        stop.notified().await;
        assert_eq!(hub.shutdown(Duration::from_secs(15)).await, 0);
    };
    let program = tokio::spawn(async move {
        axum::serve(listener, app).with_graceful_shutdown(hub_has_shut_down).await.unwrap();
    });
    (address, program)
}

/// The same with hyper, as the example `mount_hyper` shows.
async fn hyper_until(handler: WsHandler<Station>, hub: Hub<Station>, stop: Arc<Notify>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let program = tokio::spawn(async move {
        let watcher = GracefulShutdown::new();
        let accepting = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let http = auto::Builder::new(TokioExecutor::new());
                let connection =
                    http.serve_connection_with_upgrades(TokioIo::new(stream), handler.clone()).into_owned();
                tokio::spawn(watcher.watch(connection));
            }
        };
        tokio::select! {
            () = accepting => {}
            cut_off = async { stop.notified().await; hub.shutdown(Duration::from_secs(15)).await } => assert_eq!(cut_off, 0),
        }
        watcher.shutdown().await;
    });
    (address, program)
}

/// Row X8: each upgraded connection receives its queued messages and 1001. New connections get 503
/// meanwhile. Then the program ends.
async fn shuts_down_gracefully(address: String, hub: Hub<Station>, stop: &Notify, program: JoinHandle<()>) {
    let url = |id: usize| format!("ws://{address}/ws?id={id}");
    let mut peers = Vec::new();
    for id in 0..20 {
        peers.push(Peer::connect(&url(id)).await);
    }
    // A connection of plain HTTP that its client keeps open.
    let mut idle = TcpStream::connect(&address).await.unwrap();
    idle.write_all(format!("GET /ws HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    within(idle.read_u8()).await.unwrap();
    for n in 0..100 {
        assert_eq!(hub.broadcast(&wsx::Envelope::with_type("cmd", n)).await.unwrap(), 20);
    }
    stop.notify_one();
    for peer in &mut peers {
        for n in 0..100 {
            assert_eq!(peer.receive_data().await, ("cmd".into(), json!(n)));
        }
        assert_eq!(peer.close().await.0, 1001);
    }
    // The peers have not answered the close yet, so the shutdown is still in progress.
    let Err(tungstenite::Error::Http(answer)) = Peer::try_connect(&url(99)).await else {
        panic!("it connected during the shutdown")
    };
    assert_eq!(answer.status(), 503);
    assert!(!program.is_finished());
    for peer in &mut peers {
        // The answer to the close leaves with the next read; then the stream ends without a reset.
        while let Some(next) = peer.next().await {
            next.unwrap();
        }
    }
    drop(peers);
    within(program).await.unwrap();
    assert!(hub.is_empty());
    assert!(TcpStream::connect(&address).await.is_err(), "the port is still open");
}

/// Row X8: with axum's own shutdown.
#[tokio::test]
async fn a_program_with_axum_ends_when_its_hub_has_ended() {
    let (hub, stop) = (Hub::builder().endpoint(Station::default()).build().unwrap(), Arc::new(Notify::new()));
    let (address, program) = axum_until(hub.ws_handler(query_id, |_| {}), hub.clone(), stop.clone()).await;
    shuts_down_gracefully(address, hub, &stop, program).await;
}

/// Row X8: with hyper's own shutdown.
#[tokio::test]
async fn a_program_with_hyper_ends_when_its_hub_has_ended() {
    let (hub, stop) = (Hub::builder().endpoint(Station::default()).build().unwrap(), Arc::new(Notify::new()));
    let (address, program) = hyper_until(hub.ws_handler(query_id, |_| {}), hub.clone(), stop.clone()).await;
    shuts_down_gracefully(address, hub, &stop, program).await;
}

/// Row X8: a handshake that waits for `build_id` is answered with 503 behind another HTTP server
/// too.
#[tokio::test]
async fn a_handshake_in_progress_behind_a_server_is_answered_with_503() {
    let (hub, deciding) = (Hub::builder().endpoint(Station::default()).build().unwrap(), Log::default());
    let log = deciding.clone();
    let undecided = move |_| {
        log.add(());
        std::future::pending::<Result<String, wsx::Rejection>>()
    };
    let address = axum(hub.ws_handler(undecided, |_| {})).await;
    let trying = tokio::spawn(async move { Peer::try_connect(&format!("ws://{address}/ws")).await });
    deciding.next().await;
    assert_eq!(within(hub.shutdown(Duration::from_secs(15))).await, 0);
    let Err(tungstenite::Error::Http(answer)) = within(trying).await.unwrap() else { panic!("it connected") };
    assert_eq!(answer.status(), 503);
}

/// Row X2: a `build_id` that never returns is dropped when the handshake times out, behind every
/// HTTP server.
#[tokio::test]
async fn a_build_id_that_takes_too_long_is_dropped_and_answered_408() {
    struct Dropped(Log<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add(());
        }
    }
    let config = wsx::Config::default().handshake_timeout(Duration::from_millis(50));
    let dropped = Log::default();
    let log = dropped.clone();
    let undecided = move |_| {
        let held = Dropped(log.clone());
        async move {
            let _held = held;
            std::future::pending::<Result<String, wsx::Rejection>>().await
        }
    };
    let hub = Hub::builder().endpoint(Station::default()).config(config).build().unwrap();
    let handler = hub.ws_handler(undecided, |_| {});
    let alone = Server::start_at(hub.clone(), handler.clone(), "127.0.0.1:0").await;
    for address in [axum(handler.clone()).await, hyper(handler).await, alone.address.clone()] {
        let Err(tungstenite::Error::Http(answer)) = within(Peer::try_connect(&format!("ws://{address}/ws"))).await
        else {
            panic!("it connected")
        };
        assert_eq!(answer.status(), 408);
        dropped.next().await;
        assert!(hub.is_empty());
    }
}

/// A request that is not a handshake gets an HTTP answer, and the other pages of the server still
/// work.
#[tokio::test]
async fn other_requests_get_an_http_answer() {
    let hub = Hub::builder().endpoint(Station::default()).build().unwrap();
    let mounted = axum(hub.ws_handler(query_id, |_| {})).await;
    let alone = Server::start(Hub::builder().endpoint(Station::default()).build().unwrap()).await;
    assert!(get(&mounted, "/").await.ends_with("a page"));
    for address in [&mounted, &alone.address] {
        let answer = get(address, "/ws?id=a").await;
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("upgrade: websocket"), "{answer}");
        assert!(answer.contains("this is a WebSocket endpoint"), "{answer}");
    }
}

async fn get(address: &str, path: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(tcp.read_to_string(&mut answer)).await.unwrap();
    answer
}
