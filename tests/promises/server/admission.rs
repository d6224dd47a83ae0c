//! Which connections a server accepts, and what it answers to the others: row R4 of the
//! specification.
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wsx::{
    Config, Connection, Hub, Untyped,
    server::{HubBuilder, Subprotocol},
};
use wsx_tests::{
    Log, Server,
    handshake::{head, status, upgrade},
    within,
};

fn small() -> HubBuilder<Untyped> {
    Hub::builder().without_handlers()
}

fn request(id: &str, more: &str) -> String {
    upgrade(&format!("/ws?id={id}"), more)
}

/// Connects, sends the request, and returns the HTTP head of the answer with the socket.
async fn ask(address: &str, request: &str) -> (String, TcpStream) {
    let mut tcp = within(TcpStream::connect(address)).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    (head(&mut tcp).await, tcp)
}

/// Repeats the request until it is accepted. The server notices a free place a moment later.
async fn connects_eventually(address: &str) {
    within(async {
        while status(&ask(address, &request("c", "")).await.0) != 101 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_over_the_limit_gets_503_and_a_closed_one_makes_room() {
    let server = Server::start(small().max_connections(2).build().unwrap()).await;
    let first = server.peer("a").await;
    let _second = server.peer("b").await;
    let (answer, _tcp) = ask(&server.address, &request("c", "")).await;
    assert_eq!(status(&answer), 503, "{answer}");
    let conn = server.hub.connection("a").unwrap();
    drop(first);
    within(conn.closed()).await;
    connects_eventually(&server.address).await;
}

#[tokio::test]
async fn one_address_has_at_most_its_share() {
    let server = Server::start(small().max_connections_per_address(2).build().unwrap()).await;
    let _first = server.peer("a").await;
    // A connection that sends nothing counts as well.
    let silent = within(TcpStream::connect(&server.address)).await.unwrap();
    let asked = within(async {
        loop {
            let (answer, _) = ask(&server.address, &request("c", "")).await;
            if status(&answer) != 101 {
                return answer;
            }
        }
    });
    assert_eq!(status(&asked.await), 429);
    drop(silent);
    connects_eventually(&server.address).await;
}

#[tokio::test]
async fn silent_handshakes_keep_others_waiting_but_not_for_ever() {
    let config = Config::default().handshake_timeout(Duration::from_millis(300));
    let server = Server::start(small().config(config).max_handshakes(2).build().unwrap()).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(within(TcpStream::connect(&server.address)).await.unwrap());
    }
    // It is not rejected: it waits in the kernel's queue until the silent connections have timed
    // out.
    let (answer, _tcp) = ask(&server.address, &request("waiting", "")).await;
    assert_eq!(status(&answer), 101);
    for tcp in &mut silent {
        assert_eq!(status(&head(tcp).await), 408);
    }
}

#[tokio::test]
async fn an_accepted_stream_is_rejected_over_the_limit_of_handshakes() {
    let hub = small().max_handshakes(1).build().unwrap();
    let handler = hub.ws_handler(wsx_tests::query_id, |_| {});
    let (silent, theirs) = tokio::io::duplex(1024);
    let first = handler.clone();
    let first = tokio::spawn(async move { first.serve_connection(theirs, None).await });
    tokio::task::yield_now().await;
    let (mut near, far) = tokio::io::duplex(1024);
    let rejected = tokio::spawn(async move { handler.serve_connection(far, None).await.unwrap_err().to_string() });
    let mut answer = String::new();
    within(near.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(status(&answer), 503);
    drop(near);
    assert!(within(rejected).await.unwrap().contains("in progress"));
    drop(silent);
    assert!(within(first).await.unwrap().is_err());
}

#[tokio::test]
async fn the_subprotocol_is_agreed_on_and_reported_to_the_program() {
    let hub = small().build().unwrap();
    let agreed = Log::default();
    let log = agreed.clone();
    let handler = hub
        .ws_handler(wsx_tests::query_id, move |conn: &Connection| log.add(conn.extension::<Subprotocol>()))
        .protocols(["fleet.v2", "fleet.v1"]);
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    for (asked, expected) in [
        ("Sec-WebSocket-Protocol: fleet.v1, fleet.v2\r\n", Some("fleet.v1")),
        ("Sec-WebSocket-Protocol: other\r\n", None),
        ("", None),
    ] {
        let (answer, _tcp) = ask(&server.address, &request("a", asked)).await;
        assert_eq!(status(&answer), 101);
        let header = answer.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(header, expected, "{answer}");
        assert_eq!(agreed.next().await, expected.map(|protocol| Subprotocol(protocol.to_owned())));
    }
}

#[tokio::test]
async fn a_page_of_another_host_is_rejected() {
    let hub = small().build().unwrap();
    let handler = hub.ws_handler(wsx_tests::query_id, |_| {}).same_origin();
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    for (origin, expected) in
        [("Origin: http://a\r\n", 101), ("Origin: https://a\r\n", 101), ("Origin: http://b\r\n", 403), ("", 101)]
    {
        assert_eq!(status(&ask(&server.address, &request("x", origin)).await.0), expected, "{origin}");
    }
}
