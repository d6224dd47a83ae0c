//! The work of a connection that ends: replies that cannot be sent, handlers that do not end, and
//! messages that wait. Messages that wait are bounded.
use serde_json::json;
use socket2::SockRef;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_tungstenite::tungstenite::Message;
use wsx::{ClosedBy, Config, Connection, Envelope, Hub};
use wsx_tests::{
    Log, Memory, Peer, Server,
    frame::masked_frame,
    handshake::{head, upgrade},
    jump, query_id, recorder, within,
};

const SECOND: Duration = Duration::from_secs(1);

#[derive(wsx::Endpoint)]
struct Station {
    /// The data of each message whose handler began.
    began: Log<u64>,
    /// Each handler of `wait` takes a permit.
    permits: Arc<Semaphore>,
}

#[wsx::handler("note", on = Station)]
fn on_note(station: &Station, n: u64) {
    station.began.add(n);
}

#[wsx::handler("wait", on = Station)]
async fn on_wait(station: &Station, n: u64) -> Envelope<u64> {
    station.began.add(n);
    station.permits.acquire().await.expect("the semaphore is not closed").forget();
    Envelope::with_type("waited", n)
}

#[wsx::handler("last", on = Station)]
fn on_last(n: u64, conn: &Connection) -> Envelope<u64> {
    conn.close();
    Envelope::with_type("too late", n)
}

#[wsx::handler("long", on = Station)]
fn on_long(station: &Station, length: u64) -> Envelope<String> {
    station.began.add(length);
    Envelope::with_type("long", "x".repeat(usize::try_from(length).unwrap()))
}

fn hub(config: Config) -> (Hub<Station>, Memory) {
    let (recorder, memory) = recorder();
    let station = Station { began: Log::default(), permits: Arc::new(Semaphore::new(0)) };
    (Hub::builder().endpoint(station).observer(recorder).config(config).build().unwrap(), memory)
}

async fn server(config: Config) -> (Server<Station>, Memory) {
    let (hub, memory) = hub(config);
    (Server::start(hub).await, memory)
}

/// How a peer goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Close,
    Fin,
    Reset,
}

/// Ends a connection. The returned value keeps the socket open.
async fn end(mut peer: Peer, how: End) -> Option<Peer> {
    match how {
        End::Close => peer.send(Message::Close(None)).await,
        End::Fin => peer.0.get_mut().shutdown().await.unwrap(),
        End::Reset => {
            // The reset must not overtake the messages.
            peer.send(Message::Ping("all read?".into())).await;
            let Some(Ok(Message::Pong(_))) = peer.next().await else { panic!("not a pong") };
            SockRef::from(peer.0.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
            return None;
        }
    }
    Some(peer)
}

/// Rows C2, C7: a handler that never ends is dropped after the close timeout, and reported with the
/// messages that waited for it.
#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_is_reported() {
    let (server, mut memory) = server(Config::default()).await;
    for how in [End::Close, End::Fin, End::Reset] {
        let mut peer = server.peer("a").await;
        peer.send_envelope("wait", json!(1)).await;
        peer.send_envelope("note", json!(2)).await;
        peer.send_envelope("note", json!(3)).await;
        let start = Instant::now();
        let _peer = end(peer, how).await;
        assert_eq!(memory.handler_dropped().await, ("wait".into(), 2), "{how:?}");
        let took = start.elapsed();
        assert!((10 * SECOND..11 * SECOND).contains(&took), "{how:?}: {took:?}");
        let (_, closed) = memory.connection_closed().await;
        assert_eq!(closed.by, if how == End::Close { ClosedBy::Peer } else { ClosedBy::Link });
        assert_eq!(server.hub.endpoint().began.next().await, 1);
        assert_eq!(server.hub.endpoint().began.try_next(), None, "{how:?}");
    }
}

/// Row C7: the replies to messages that arrived before the link broke are reported.
#[tokio::test(start_paused = true)]
async fn replies_after_the_link_broke_are_reported() {
    let (server, mut memory) = server(Config::default()).await;
    for how in [End::Fin, End::Reset] {
        let mut peer = server.peer("a").await;
        let conn = server.hub.connection("a").unwrap();
        for n in 0..3 {
            peer.send_envelope("wait", json!(n)).await;
        }
        let _peer = end(peer, how).await;
        within(conn.closed()).await;
        server.hub.endpoint().permits.add_permits(3);
        for n in 0..3 {
            assert_eq!(memory.reply_dropped().await, "wait");
            assert_eq!(server.hub.endpoint().began.next().await, n);
        }
        memory.connection_closed().await;
    }
}

/// Row C7: the program closes the connection while a handler runs, or in the handler.
#[tokio::test]
async fn a_reply_after_a_close_of_the_program_is_reported() {
    let (server, mut memory) = server(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("wait", json!(1)).await;
    assert_eq!(server.hub.endpoint().began.next().await, 1);
    server.hub.connection("a").unwrap().close();
    server.hub.endpoint().permits.add_permits(1);
    assert_eq!(memory.reply_dropped().await, "wait");
    assert_eq!(peer.close().await.0, 1000);

    let mut peer = server.peer("b").await;
    peer.send_envelope("last", json!(1)).await;
    assert_eq!(memory.reply_dropped().await, "last");
    assert_eq!(peer.close().await.0, 1000);
}

/// Rows C7, X7: a handler that began before the shutdown may reply, and a later one may not.
#[tokio::test]
async fn a_reply_of_a_handler_that_began_after_a_shutdown_is_reported() {
    let (server, mut memory) = server(Config::default()).await;
    let mut peer = server.peer("a").await;
    let conn = server.hub.connection("a").unwrap();
    peer.send_envelope("wait", json!(1)).await;
    peer.send_envelope("wait", json!(2)).await;
    assert_eq!(server.hub.endpoint().began.next().await, 1);
    let hub = server.hub.clone();
    let shutdown = tokio::spawn(async move { hub.shutdown(10 * SECOND).await });
    while !conn.is_closed() {
        tokio::task::yield_now().await;
    }
    server.hub.endpoint().permits.add_permits(2);
    assert_eq!(peer.receive_data().await, ("waited".into(), json!(1)));
    assert_eq!(peer.close().await.0, 1001);
    assert_eq!(memory.reply_dropped().await, "wait");
    assert_eq!(server.hub.endpoint().began.next().await, 2);
    while let Some(Ok(_)) = peer.next().await {}
    assert_eq!(within(shutdown).await.unwrap(), 0);
}

/// Row C7: after the peer's close, a handler has a quarter of the close timeout for its reply. A
/// later reply is reported.
#[tokio::test(start_paused = true)]
async fn a_reply_after_the_answer_to_the_peers_close_is_reported() {
    let (server, mut memory) = server(Config::default()).await;
    let mut peer = server.peer("a").await;
    peer.send_envelope("wait", json!(1)).await;
    let start = Instant::now();
    peer.send(Message::Close(None)).await;
    assert_eq!(peer.close().await.0, 1005);
    let took = start.elapsed();
    assert!((5 * SECOND / 2..3 * SECOND).contains(&took), "{took:?}");
    sleep(SECOND).await;
    server.hub.endpoint().permits.add_permits(1);
    assert_eq!(memory.reply_dropped().await, "wait");
}

/// Row C7: a reply waits for room until its peer is cut. The replies to later messages cannot be
/// sent either.
#[tokio::test(start_paused = true)]
async fn a_reply_that_waits_for_room_until_the_end_is_reported() {
    let (hub, mut memory) = hub(Config::default().queue_bytes(1000));
    let handler = hub.ws_handler(query_id, |_| {});
    let (mut peer, far) = tokio::io::duplex(1024);
    let opening = tokio::spawn(async move { handler.serve_connection(far, None).await });
    peer.write_all(upgrade("/ws?id=a", "").as_bytes()).await.unwrap();
    head(&mut peer).await;
    let _conn = within(opening).await.unwrap().unwrap();
    // The socket takes the first reply, the second goes into the empty queue, and the third waits.
    for _ in 0..4 {
        peer.write_all(&masked_frame(0x81, br#"{"type":"long","data":70000}"#)).await.unwrap();
    }
    assert_eq!(memory.reply_dropped().await, "long");
    assert_eq!(memory.reply_dropped().await, "long");
    let (_, closed) = memory.connection_closed().await;
    assert!(closed.reason.contains("taken nothing"), "{closed}");
    for _ in 0..4 {
        assert_eq!(hub.endpoint().began.next().await, 70_000);
    }
}

/// The size of each socket buffer of a flood, in bytes. The kernel doubles it.
const BUFFER: usize = 8 * 1024;

/// Returns a peer of a new server. The kernel buffers little between the two.
async fn narrow(hub: Hub<Station>) -> (Server<Station>, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(u32::try_from(BUFFER).unwrap()).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let handler = hub.ws_handler(query_id, |_| {});
    let server = Server::start_on(hub, handler, socket.listen(1).unwrap());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(u32::try_from(BUFFER).unwrap()).unwrap();
    let mut peer = socket.connect(server.address.parse().unwrap()).await.unwrap();
    peer.write_all(upgrade("/ws?id=a", "").as_bytes()).await.unwrap();
    head(&mut peer).await;
    (server, peer)
}

/// Sends a ping to the server, and waits for the answer.
async fn answered(peer: &mut Peer) {
    peer.send(Message::Ping("x".into())).await;
    loop {
        // The heartbeat of the server sends pings, which are answered by the next send.
        match peer.next().await {
            Some(Ok(Message::Pong(payload))) if payload == "x" => return,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Rows C2, R1, V1: the messages that wait for a handler are bounded, in number and in bytes. Then
/// the peer has to wait, and does not count as silent. Nothing is lost.
///
/// The answers to another peer on the same thread say that the server has looked at its sockets.
#[tokio::test]
async fn a_flood_waits_in_the_socket_while_a_handler_runs() {
    const LENGTH: usize = 1000;
    const FLOOD: u64 = 3000;
    // Only the jumps of the clock let so much time pass.
    let bounds = Config::default().heartbeat(60 * SECOND, 60 * SECOND);
    for (config, most) in [
        (bounds.clone().backlog_messages(0), 0),
        (bounds.clone().backlog_messages(20), 20 * LENGTH),
        (bounds.backlog_bytes(500 * LENGTH), 500 * LENGTH),
    ] {
        let (hub, _memory) = hub(config);
        let (server, mut peer) = narrow(hub).await;
        let conn = server.hub.connection("a").unwrap();
        let mut other = server.peer("other").await;
        let mut flood = masked_frame(0x81, br#"{"type":"wait","data":0}"#);
        for n in 1..=FLOOD {
            let note = format!(r#"{{"type":"note","data":{n}}}"#);
            flood.extend(masked_frame(0x81, format!("{note:LENGTH$}").as_bytes()));
        }
        let last = flood.len();
        flood.extend_from_slice(b"\x89\x80\0\0\0\0");
        let (mut written, mut in_vain) = (0, 0);
        within(async {
            while written < flood.len() && (written < most || in_vain < 20) {
                let taken = peer.try_write(&flood[written..]).unwrap_or(0);
                (written, in_vain) = (written + taken, if taken > 0 { 0 } else { in_vain + 1 });
                answered(&mut other).await;
            }
        })
        .await;
        for _ in 0..4 {
            jump(61 * SECOND).await;
            answered(&mut other).await;
        }
        // Both socket buffers, and a read of the server.
        let slack = 4 * BUFFER + 128 * 1024;
        assert!((most..most + slack).contains(&written), "{written} bytes were taken, not about {most}");
        assert!(written < last);
        assert_eq!(server.hub.endpoint().began.next().await, 0);
        assert!(server.hub.endpoint().began.try_next().is_none() && !conn.is_closed());
        server.hub.endpoint().permits.add_permits(1);
        let (mut reading, mut writing) = peer.split();
        let answers = async {
            // The heartbeat may have sent pings before. The reply and the pong are the last frames.
            let (mut bytes, pong) = (Vec::new(), b"\x8a\0");
            while !bytes.ends_with(pong) {
                assert_ne!(within(reading.read_buf(&mut bytes)).await.unwrap(), 0);
            }
            assert!(String::from_utf8_lossy(&bytes).contains(r#""type":"waited""#));
        };
        tokio::join!(async { within(writing.write_all(&flood[written..])).await.unwrap() }, answers);
        for n in 1..=FLOOD {
            assert_eq!(server.hub.endpoint().began.next().await, n);
        }
    }
}
