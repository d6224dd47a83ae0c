//! Rows V1, T6, P2, P3 of the specification: what a message, a queue and an idle connection may cost.
use futures_util::SinkExt;
use serde_json::json;
use std::{
    io::{Read, Write},
    time::Duration,
};
use tokio_tungstenite::tungstenite::Message;
use wsx::{Backoff, CloseCode, ClosedBy, Config, Envelope, Hub};
use wsx_tests::{
    Log, Server,
    handshake::{accepted, ask},
    recorder, within,
};

#[derive(wsx::Endpoint, Default)]
struct Station {
    lengths: Log<usize>,
}

#[wsx::handler("blob", on = Station)]
fn on_blob(station: &Station, text: std::borrow::Cow<'_, str>) {
    station.lengths.add(text.len());
}

fn hub(config: Config) -> Hub<Station> {
    Hub::builder().endpoint(Station::default()).config(config).build().unwrap()
}

/// Row V1: the defaults are the specification's, and each can be set.
#[test]
fn the_defaults_are_the_specifications() {
    let config = Config::default();
    let timeouts = [config.write_timeout, config.close_timeout, config.handshake_timeout];
    assert_eq!(timeouts, [Duration::from_secs(10); 3]);
    assert_eq!(config.max_message_size, 2 * 1024 * 1024);
    assert_eq!((config.queue_messages, config.queue_bytes), (1024, 4 << 20));
    assert_eq!((config.heartbeat, config.tcp_user_timeout, config.tcp_keepalive), (None, None, None));
    let backoff = Backoff::default();
    assert_eq!((backoff.initial, backoff.max), (Duration::from_millis(500), Duration::from_secs(30)));
    assert!((backoff.factor - 1.8).abs() < f64::EPSILON);
    assert_eq!(backoff.stable_after, Duration::from_secs(5));
    let config = config
        .write_timeout(Duration::from_secs(1))
        .max_message_size(10)
        .queue_messages(20)
        .queue_bytes(30)
        .close_timeout(Duration::from_secs(2))
        .handshake_timeout(Duration::from_secs(3));
    assert_eq!((config.max_message_size, config.queue_messages, config.queue_bytes), (10, 20, 30));
    let timeouts = [config.write_timeout, config.close_timeout, config.handshake_timeout];
    assert_eq!(timeouts, [1, 2, 3].map(Duration::from_secs));
}

/// Rows V1, T6: a message of exactly the limit is read, one byte more is refused with 1009, which the peer sees.
#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_1009() {
    let (recorder, mut memory) = recorder();
    let server = Server::start(Hub::builder().endpoint(Station::default()).observer(recorder).build().unwrap()).await;
    let mut peer = server.peer("a").await;
    let frame = |length: usize| {
        let empty = r#"{"type":"blob","data":""}"#.len();
        format!(r#"{{"type":"blob","data":"{}"}}"#, "x".repeat(length - empty))
    };
    let limit = Config::default().max_message_size;
    peer.send(frame(limit)).await;
    assert_eq!(server.hub.endpoint().lengths.next().await, limit - 25);
    // The server refuses as soon as it has seen the header, so the rest may find the connection closed.
    let _ = within(peer.0.send(Message::text(frame(limit + 1)))).await;
    let (code, reason) = peer.close().await;
    assert_eq!(code, 1009);
    assert!(reason.contains("too long"), "{reason}");
    let (_, closed) = memory.closed().await;
    assert_eq!((closed.code, closed.by), (CloseCode::MESSAGE_TOO_BIG, ClosedBy::Us));
}

/// Row T6: the limit holds for a message in fragments too, of any kind.
#[tokio::test]
async fn fragments_count_together() {
    let server = Server::start(hub(Config::default().max_message_size(1000))).await;
    let mut tcp = handshake_as(&server.address, "bare");
    let fragment = |first: u8, length: usize| {
        let mut frame = vec![first, 0x80 | 126];
        frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.resize(frame.len() + length, b'x');
        frame
    };
    let answer = within(tokio::task::spawn_blocking(move || {
        tcp.write_all(&fragment(0x01, 600)).unwrap();
        tcp.write_all(&fragment(0x80, 600)).unwrap();
        accepted(&mut tcp).unwrap();
        let mut answer = [0; 4];
        tcp.read_exact(&mut answer).unwrap();
        answer
    }))
    .await
    .unwrap();
    assert_eq!((answer[0], u16::from_be_bytes([answer[2], answer[3]])), (0x88, 1009));
}

/// What breaks RFC 6455 is told so with the right code.
#[tokio::test]
async fn a_frame_against_the_rfc_is_answered_with_its_code() {
    let server = Server::start(hub(Config::default())).await;
    for (frame, code) in [
        (&b"\x81\x85\0\0\0\0\xff\xfe\xfd\xfc\xfb"[..], 1007), // text that is not UTF-8
        (b"\x81\x01x", 1002),                                 // not masked
        (b"\xc1\x81\0\0\0\0x", 1002),                         // a reserved bit
        (b"\x83\x81\0\0\0\0x", 1002),                         // an opcode that nobody has defined
        (b"\x80\x81\0\0\0\0x", 1002),                         // a continuation of nothing
        (b"\x89\xfe\0\x7e\0\0\0\0", 1002),                    // a ping that is too long; its 126 bytes follow
        (b"\x88\x81\0\0\0\0x", 1002),                         // half a close code
    ] {
        let (mut tcp, mut frame) = (handshake_as(&server.address, "bare"), frame.to_vec());
        frame.resize(frame.len() + 126, 0);
        let answer = within(tokio::task::spawn_blocking(move || {
            tcp.write_all(&frame).unwrap();
            accepted(&mut tcp).unwrap();
            let mut answer = [0; 4];
            tcp.read_exact(&mut answer).unwrap();
            answer
        }))
        .await
        .unwrap();
        assert_eq!((answer[0], u16::from_be_bytes([answer[2], answer[3]])), (0x88, code));
    }
}

/// Row T6: what peers declare or leave unread does not pile up: a hundred half messages, and a peer that does not read.
#[tokio::test]
async fn memory_stays_bounded_under_large_messages() {
    let server = Server::start(hub(Config::default())).await;
    let before = resident_kib();
    // Each declares 2 MiB and sends 1 KiB of it.
    let halves: Vec<_> = (0..100)
        .map(|_| {
            let mut tcp = handshake_as(&server.address, "bare");
            let mut frame = vec![0x81, 0xff];
            frame.extend_from_slice(&(2_u64 << 20).to_be_bytes());
            frame.resize(4 + 10 + 1024, b'x');
            tcp.write_all(&frame).unwrap();
            tcp
        })
        .collect();
    // One does not read while 64 MB are sent to it: its queue holds 4 MiB at most, the rest waits with the sender.
    let _deaf = handshake_as(&server.address, "deaf");
    let conn = within(async {
        loop {
            match server.hub.connection("deaf") {
                Some(conn) => return conn,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let blob = Envelope::with_type("blob", "x".repeat(1 << 20));
    let mut accepted = 0;
    while tokio::time::timeout(Duration::from_millis(300), conn.send(&blob)).await.is_ok() {
        accepted += 1;
        assert!(accepted < 64, "there is no bound");
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 40 * 1024, "{grown} KiB more, with {accepted} MiB accepted");
    drop(halves);
}

/// Row P3: a message of 2 MiB in each direction leaves no 2 MiB behind in its connection.
#[tokio::test]
async fn a_long_message_leaves_no_memory_in_its_connection() {
    const PEERS: usize = 50;
    let server = Server::start(hub(Config::default())).await;
    let before = resident_kib();
    let blob = "x".repeat((2 << 20) - 1024);
    let mut peers = Vec::new();
    for n in 0..PEERS {
        let id = n.to_string();
        let mut peer = server.peer(&id).await;
        peer.say("blob", json!(blob)).await;
        assert_eq!(within(server.hub.endpoint().lengths.next()).await, blob.len());
        server.hub.send_to(&id, &Envelope::with_type("blob", &blob)).await.unwrap();
        assert!(peer.text().await.len() > blob.len());
        // The peer's side is not what is measured, and keeps as much as it likes.
        peers.push(peer.0.into_inner());
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 40 * 1024, "{grown} KiB more after {PEERS} messages of 2 MiB each way");
    drop(peers);
}

/// Rows P2, P3: five thousand connections at once; each answers; an idle one costs less than 32 KiB resident.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_connections_are_small_and_alive() {
    const MANY: usize = 5000;
    let server = Server::start(hub(Config::default())).await;
    // The peers are bare sockets, so that what grows is the server's.
    let first: Vec<_> = (0..100).map(|id| handshake_as(&server.address, &format!("warm-{id}"))).collect();
    let before = resident_kib();
    let address = server.address.clone();
    let mut peers = tokio::task::spawn_blocking(move || {
        (0..MANY).map(|id| handshake_as(&address, &id.to_string())).collect::<Vec<_>>()
    })
    .await
    .unwrap();
    within(async {
        while server.hub.len() < MANY + first.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let each = resident_kib().saturating_sub(before) as f64 / MANY as f64;
    println!("{each:.2} KiB resident for each idle connection");
    assert!(each < 32.0, "{each:.1} KiB for each idle connection");

    assert_eq!(server.hub.broadcast(&Envelope::with_type("all", json!(1))).await.unwrap(), MANY + first.len());
    let heard = tokio::task::spawn_blocking(move || {
        for tcp in &mut peers {
            accepted(tcp).unwrap();
            let mut head = [0; 2];
            tcp.read_exact(&mut head).unwrap();
            let mut text = vec![0; usize::from(head[1])];
            tcp.read_exact(&mut text).unwrap();
            assert!(text.ends_with(br#""data":1}"#));
        }
        peers
    });
    let peers = within(heard).await.unwrap();
    drop(peers);
    within(async {
        while server.hub.len() > first.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A bare socket behind a handshake, whose answer is still to be read.
fn handshake_as(address: &str, id: &str) -> std::net::TcpStream {
    ask(address, &format!("/ws?id={id}")).unwrap()
}

/// What this process has in memory, in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
