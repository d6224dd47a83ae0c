//! Row S1 of the specification: the hub at a path of the user's own HTTP server, axum or plain hyper.
use serde_json::json;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite;
use wsx::{CloseCode, Hub, WsHandler};
use wsx_tests::{Log, Peer, Server, query_id, within};

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
async fn axum(door: WsHandler<Station>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "a page" })).route_service("/ws", door);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// Serves the hub at every path, with plain hyper.
async fn hyper(door: WsHandler<Station>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, door.clone()).with_upgrades());
        }
    });
    address
}

/// The whole way through somebody else's server: in, a reply, a command, a refusal, what comes early, a close, a shutdown.
async fn works_behind(address: String, hub: Hub<Station>) {
    let url = |id: &str| format!("ws://{address}/ws?id={id}");
    let mut peer = Peer::connect(&url("box-7")).await;
    peer.say("telemetry", json!(21.5)).await;
    assert_eq!(hub.endpoint().telemetry.next().await.to_string(), "21.5");
    assert_eq!(peer.hear_data().await, ("thanks".into(), json!("got it")));
    hub.send_to("box-7", &wsx::Envelope::with_type("cmd", true)).await.unwrap();
    assert_eq!(peer.hear_data().await, ("cmd".into(), json!(true)));

    let Err(tungstenite::Error::Http(answer)) = Peer::try_connect(&format!("ws://{address}/ws")).await else {
        panic!("let in without an id")
    };
    assert_eq!(answer.status(), 400);

    // A frame in the same segment as the request.
    let mut early = TcpStream::connect(&address).await.unwrap();
    let mut bytes = format!(
        "GET /ws?id=early HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes();
    let text = br#"{"type":"telemetry","data":1.5}"#;
    bytes.extend_from_slice(&[0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0]);
    bytes.extend_from_slice(text);
    early.write_all(&bytes).await.unwrap();
    assert_eq!(hub.endpoint().telemetry.next().await.to_string(), "1.5");
    drop(early);

    hub.get("box-7").unwrap().close_with(CloseCode::Policy, "enough");
    assert_eq!(peer.close().await, (1008, "enough".into()));
    // Its answer leaves with its next read.
    while let Some(Ok(_)) = peer.next().await {}

    let mut last = Peer::connect(&url("last")).await;
    let ending = tokio::spawn({
        let hub = hub.clone();
        async move { hub.shutdown(Duration::from_secs(15)).await }
    });
    assert_eq!(last.close().await.0, 1001);
    while let Some(Ok(_)) = last.next().await {}
    assert_eq!(within(ending).await.unwrap(), 0);
    let Err(tungstenite::Error::Http(answer)) = Peer::try_connect(&url("late")).await else { panic!("let in late") };
    assert_eq!(answer.status(), 503);
}

#[tokio::test]
async fn a_hub_works_behind_axum() {
    let hub = Hub::with(Station::default());
    let address = axum(hub.ws_handler(query_id, |_| {})).await;
    works_behind(address, hub).await;
}

#[tokio::test]
async fn a_hub_works_behind_hyper() {
    let hub = Hub::with(Station::default());
    let address = hyper(hub.ws_handler(query_id, |_| {})).await;
    works_behind(address, hub).await;
}

/// The same promises hold for the hub's own listener.
#[tokio::test]
async fn a_hub_works_on_its_own() {
    let hub = Hub::with(Station::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let door = hub.ws_handler(query_id, |_| {});
    // Goes on accepting after the shutdown, as an HTTP server does, so that the late get an answer.
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let door = door.clone();
            tokio::spawn(async move { door.serve_stream(stream, Some(peer)).await.map(drop) });
        }
    });
    works_behind(address, hub).await;
}

/// A request that is no handshake gets an HTTP answer, and the server's other pages are not touched.
#[tokio::test]
async fn other_requests_get_an_http_answer() {
    let hub = Hub::with(Station::default());
    let behind = axum(hub.ws_handler(query_id, |_| {})).await;
    let alone = Server::start(Hub::with(Station::default())).await;
    assert!(get(&behind, "/").await.ends_with("a page"));
    for address in [&behind, &alone.address] {
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
