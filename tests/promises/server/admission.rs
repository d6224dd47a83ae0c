//! Which connections a server accepts, and what it answers to the others: row R4 of the
//! specification.
use crate::proxies::small;
use std::{future::pending, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};
use wsx::{
    Config, Connection, Observer, Rejection, RejectionKind,
    http::{StatusCode, request::Parts},
};
use wsx_tests::{
    Log, Seen, Server,
    alone::alone,
    handshake::{head, status, upgrade},
    recorder, within,
};

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

/// Longer than any test takes.
const FOREVER: Duration = Duration::from_secs(3600);

/// Returns a listener for which the kernel queues all connections of a test.
fn listener() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(1024).unwrap()
}

/// Connects from this address of the loopback network.
async fn from(source: &str, address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    within(socket.connect(address.parse().unwrap())).await.unwrap()
}

/// Sends a request on this socket, and returns the status of the answer.
async fn status_on(tcp: &mut TcpStream, id: &str) -> u16 {
    tcp.write_all(request(id, "").as_bytes()).await.unwrap();
    status(&head(tcp).await)
}

/// A silent peer is answered 408 when its time is over.
#[tokio::test]
async fn a_silent_peer_gets_408() {
    let config = Config::default().handshake_timeout(Duration::from_millis(300));
    let server = Server::start(small().config(config).max_handshakes(2).build().unwrap()).await;
    let mut silent = within(TcpStream::connect(&server.address)).await.unwrap();
    assert_eq!(status(&head(&mut silent).await), 408);
}

/// A flood of silent connections takes all places. Clients of the same address and of other
/// addresses get in, and the oldest silent connections end with 503.
#[tokio::test]
async fn silent_connections_do_not_keep_honest_clients_out() {
    let (recorder, mut memory) = recorder();
    let config = Config::default().handshake_timeout(FOREVER);
    let hub = small().config(config).observer(recorder).max_handshakes(16).build().unwrap();
    let server = Server::start(hub).await;
    // A slow client of another address, which was there first.
    let mut slow = from("127.0.0.2", &server.address).await;
    let whole = request("slow", "");
    let (half, rest) = whole.split_at(20);
    slow.write_all(half.as_bytes()).await.unwrap();
    let mut silent = Vec::new();
    for round in 0..5 {
        for _ in 0..40 {
            silent.push(within(TcpStream::connect(&server.address)).await.unwrap());
        }
        for source in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
            let mut honest = from(source, &server.address).await;
            assert_eq!(status_on(&mut honest, &format!("{source}-{round}")).await, 101, "{source}, round {round}");
        }
    }
    slow.write_all(rest.as_bytes()).await.unwrap();
    assert_eq!(status(&head(&mut slow).await), 101);
    // The oldest silent connection has ended.
    assert_eq!(status(&head(&mut silent[0]).await), 503);
    let why = memory.find(|seen| if let Seen::HandshakeRejected(503, why) = seen { Some(why) } else { None }).await;
    assert_eq!(why, "other handshakes needed the place of this one");
}

/// Many clients behind one address come at the same time, after a flood from that address. Each
/// request has arrived when the server looks at its connection, so no client has to retry.
#[tokio::test]
async fn clients_that_share_an_address_with_a_flood_get_in() {
    let config = Config::default().handshake_timeout(FOREVER);
    let hub = small().config(config).max_handshakes(8).build().unwrap();
    let handler = hub.ws_handler(wsx_tests::query_id, |_| {});
    let listener = listener();
    let address = listener.local_addr().unwrap();
    // The kernel opens the connections while this thread, the only one of the runtime, is here.
    let connect = || std::net::TcpStream::connect(address).unwrap();
    let _silent: Vec<_> = (0..50).map(|_| connect()).collect();
    let mut honest = Vec::new();
    for n in 0..200 {
        let mut tcp = connect();
        std::io::Write::write_all(&mut tcp, request(&n.to_string(), "").as_bytes()).unwrap();
        tcp.set_nonblocking(true).unwrap();
        honest.push(TcpStream::from_std(tcp).unwrap());
    }
    let server = Server::start_on(hub, handler, listener);
    for tcp in &mut honest {
        assert_eq!(status(&head(tcp).await), 101);
    }
    assert_eq!(server.hub.len(), 200);
}

/// A rejected connection keeps its place until its answer is over. So a limit of two handshakes is
/// a limit of two descriptors. One more waits for its place, and one more is that of another thread
/// that counts descriptors.
#[test]
fn rejections_in_progress_are_limited_too() {
    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }
    /// Records the descriptors at each rejection.
    struct Counting(Log<usize>);
    impl Observer for Counting {
        fn handshake_rejected(&self, _: Option<SocketAddr>, _: RejectionKind, status: StatusCode, _: &str) {
            assert_eq!(status, 429);
            self.0.add(descriptors());
        }
    }
    alone(async {
        let counts = Log::default();
        let hub = small().observer(Counting(counts.clone())).max_handshakes(2).max_connections_per_address(0);
        let hub = hub.build().unwrap();
        let handler = hub.ws_handler(wsx_tests::query_id, |_| {});
        let listener = listener();
        let address = listener.local_addr().unwrap();
        let mut rejected = Vec::new();
        for _ in 0..200 {
            let mut tcp = std::net::TcpStream::connect(address).unwrap();
            std::io::Write::write_all(&mut tcp, request("a", "").as_bytes()).unwrap();
            rejected.push(tcp);
        }
        let before = descriptors();
        let _server = Server::start_on(hub, handler, listener);
        for number in 0..200 {
            let held = counts.next().await.saturating_sub(before);
            assert!(held <= 4, "rejection {number}: the server holds {held} descriptors");
        }
    });
}

/// A listener without connections does not hold the only place of its hub.
#[tokio::test]
async fn two_listeners_share_the_places_of_a_hub() {
    let hub = small().max_handshakes(1).build().unwrap();
    let mut listeners = Vec::new();
    for _ in 0..3 {
        let handler = hub.ws_handler(wsx_tests::query_id, |_| {});
        listeners.push(Server::start_at(hub.clone(), handler, "127.0.0.1:0").await);
        // The listener before this one has polled its socket.
        tokio::task::yield_now().await;
    }
    // Not in turn: a listener that waited for its turn would hold a place meanwhile.
    for number in [2, 2, 0, 0, 1, 1, 2, 1, 0] {
        listeners[number].peer("a").await;
    }
}

/// In a full hub, a box that reconnects replaces its own connection. Other ids are still rejected,
/// and so are more replacements than there is room for.
#[tokio::test]
async fn a_full_hub_lets_an_id_replace_itself() {
    let server = Server::start(small().max_connections(2).build().unwrap()).await;
    let mut first = server.peer("a").await;
    let _other = server.peer("b").await;
    let old = server.hub.connection("a").unwrap();
    assert_eq!(status(&ask(&server.address, &request("c", "")).await.0), 503);
    // The peer of the old connection does not answer the close yet, so that connection still
    // counts.
    let (answer, _second) = ask(&server.address, &request("a", "")).await;
    assert_eq!(status(&answer), 101);
    assert_eq!(server.hub.len(), 2);
    assert!(server.hub.connection("a").unwrap() != old);
    for id in ["a", "b", "c"] {
        assert_eq!(status(&ask(&server.address, &request(id, "")).await.0), 503, "{id}");
    }
    assert_eq!(first.close().await.0, 4000);
    while let Some(Ok(_)) = first.next().await {}
    within(old.closed()).await;
    // The count is exact again.
    let _third = within(async {
        loop {
            let (answer, tcp) = ask(&server.address, &request("a", "")).await;
            if status(&answer) == 101 {
                return tcp;
            }
        }
    })
    .await;
    assert_eq!(status(&ask(&server.address, &request("c", "")).await.0), 503);
    assert_eq!(server.hub.len(), 2);
}

/// A stream for which there is no place is rejected at once, and is not kept for its answer.
#[tokio::test(start_paused = true)]
async fn an_accepted_stream_is_rejected_over_the_limit_of_handshakes() {
    let deciding = Log::default();
    let log = deciding.clone();
    let undecided = move |_: Parts| {
        log.add(());
        pending::<Result<String, Rejection>>()
    };
    let hub = small().max_handshakes(1).build().unwrap();
    let handler = hub.ws_handler(undecided, |_| {});
    let (mut first, theirs) = tokio::io::duplex(1024);
    let serving = handler.clone();
    let serving = tokio::spawn(async move { serving.serve_connection(theirs, None).await });
    first.write_all(request("a", "").as_bytes()).await.unwrap();
    deciding.next().await;
    let (mut near, far) = tokio::io::duplex(1024);
    let start = Instant::now();
    let rejected = handler.serve_connection(far, None).await.unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_millis(5), "{:?}", start.elapsed());
    assert!(rejected.contains("in progress"), "{rejected}");
    let mut answer = String::new();
    within(near.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(status(&answer), 503);
    drop(first);
    serving.abort();
}

/// A silent stream gives way to the next one.
#[tokio::test(start_paused = true)]
async fn a_silent_stream_that_the_program_accepted_gives_way() {
    let hub = small().max_handshakes(1).build().unwrap();
    let handler = hub.ws_handler(wsx_tests::query_id, |_| {});
    let (mut silent, theirs) = tokio::io::duplex(1024);
    let first = tokio::spawn({
        let handler = handler.clone();
        async move { handler.serve_connection(theirs, None).await.map(drop) }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (mut near, far) = tokio::io::duplex(1024);
    near.write_all(request("a", "").as_bytes()).await.unwrap();
    handler.serve_connection(far, None).await.unwrap();
    assert_eq!(status(&head(&mut silent).await), 503);
    assert!(within(first).await.unwrap().is_err());
}

#[tokio::test]
async fn the_subprotocol_is_agreed_on_and_reported_to_the_program() {
    let hub = small().build().unwrap();
    let agreed = Log::default();
    let log = agreed.clone();
    let handler = hub
        .ws_handler(wsx_tests::query_id, move |conn: &Connection| log.add(conn.subprotocol().map(str::to_owned)))
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
        assert_eq!(agreed.next().await, expected.map(str::to_owned));
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
