//! The memory that peers and idle connections use.
use flate2::{Compress, FlushCompress};
use serde_json::json;
use std::{
    io::{Read, Write},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;
use wsx::{Config, Deflate, Envelope, Hub};
use wsx_tests::{
    Log, Server,
    alone::{alone, reserved_kib, resident_kib},
    frame::masked_frame,
    handshake::{accepted, ask, upgrade},
    within,
};

#[derive(wsx::Endpoint, Default)]
struct Station {
    lengths: Log<usize>,
    resume: Arc<Notify>,
}

#[wsx::handler("wait", on = Station)]
async fn on_wait(station: &Station, _n: serde::de::IgnoredAny) {
    station.resume.notified().await;
}

#[wsx::handler("blob", on = Station)]
fn on_blob(station: &Station, text: std::borrow::Cow<'_, str>) {
    station.lengths.add(text.len());
}

fn hub() -> Hub<Station> {
    Hub::builder().endpoint(Station::default()).build().unwrap()
}

/// Row T6: a hundred incomplete messages and a peer that does not read use a bounded amount of
/// memory.
#[test]
fn memory_stays_bounded_under_large_messages() {
    alone(async {
        let server = Server::start(hub()).await;
        let before = resident_kib();
        // Each declares 2 MiB and sends 1 KiB of it.
        let incomplete: Vec<_> = (0..100)
            .map(|_| {
                let mut tcp = handshake_as(&server.address, "bare");
                let mut frame = vec![0x81, 0xff];
                frame.extend_from_slice(&(2_u64 << 20).to_be_bytes());
                frame.resize(4 + 10 + 1024, b'x');
                tcp.write_all(&frame).unwrap();
                tcp
            })
            .collect();
        // One peer does not read while 64 MB are sent to it. Its queue holds at most 4 MiB; the
        // sender waits with the rest.
        let _not_reading = handshake_as(&server.address, "not-reading");
        let conn = within(async {
            loop {
                match server.hub.connection("not-reading") {
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
            assert!(accepted < 64, "the queue is not bounded");
        }
        let grown = resident_kib().saturating_sub(before);
        println!("{grown} KiB more, with {accepted} MiB accepted");
        assert!(grown < 40 * 1024, "{grown} KiB more, with {accepted} MiB accepted");
        drop(incomplete);
    });
}

/// Row P3: after a message of 2 MiB in each direction the connection does not keep buffers of that
/// size.
#[test]
fn a_long_message_leaves_no_memory_in_its_connection() {
    alone(async {
        const PEERS: usize = 50;
        let server = Server::start(hub()).await;
        let before = resident_kib();
        let blob = "x".repeat((2 << 20) - 1024);
        let mut peers = Vec::new();
        for n in 0..PEERS {
            let id = n.to_string();
            let mut peer = server.peer(&id).await;
            peer.send_envelope("blob", json!(blob)).await;
            assert_eq!(within(server.hub.endpoint().lengths.next()).await, blob.len());
            server.hub.send_to(&id, &Envelope::with_type("blob", &blob)).await.unwrap();
            assert!(peer.text().await.len() > blob.len());
            // The peer's memory is not measured, so it may keep its buffers.
            peers.push(peer.0.into_inner());
        }
        let grown = resident_kib().saturating_sub(before);
        println!("{grown} KiB more after {PEERS} messages of 2 MiB each way");
        assert!(grown < 40 * 1024, "{grown} KiB more after {PEERS} messages of 2 MiB each way");
        drop(peers);
    });
}

/// Rows F2, P3: a message of 2 MiB in two fragments leaves nothing in its connection.
#[test]
fn a_message_in_fragments_leaves_no_memory_in_its_connection() {
    alone(async {
        const PEERS: usize = 100;
        let server = Server::start(hub()).await;
        let text = format!(r#"{{"type":"blob","data":"{}"}}"#, "x".repeat((2 << 20) - 1024));
        let (first, last) = text.as_bytes().split_at(1 << 20);
        let (first, last) = (masked_frame(0x01, first), masked_frame(0x80, last));
        let mut peers = Vec::new();
        let mut before = 0;
        for n in 0..=PEERS {
            let mut tcp = handshake_as(&server.address, &n.to_string());
            tcp.write_all(&first).unwrap();
            tcp.write_all(&last).unwrap();
            server.hub.endpoint().lengths.next().await;
            peers.push(tcp);
            // The first message fills the buffers of the threads and of the allocator.
            before = if n == 0 { resident_kib() } else { before };
        }
        let grown = resident_kib().saturating_sub(before);
        println!("{grown} KiB more after {PEERS} messages of 2 MiB in fragments");
        assert!(grown < 40 * 1024, "{grown} KiB more after {PEERS} messages of 2 MiB in fragments");
    });
}

/// Row F2: a length in a header reserves no memory. Before a byte of the payload has arrived, not
/// even addresses.
#[test]
fn a_declared_length_reserves_nothing() {
    alone(async {
        const PEERS: usize = 400;
        let server = Server::start(hub()).await;
        let mut peers: Vec<_> = (0..PEERS).map(|n| handshake_as(&server.address, &n.to_string())).collect();
        let before = reserved_kib();
        for (tcp, first) in peers.iter_mut().zip([0x01, 0x81, 0x02, 0x82].into_iter().cycle()) {
            let declared = [&[first, 0xff][..], &(2_u64 << 20).to_be_bytes(), &[0; 4]].concat();
            // In one segment, so the header has been read when the pong comes.
            tcp.write_all(&[&masked_frame(0x89, b""), &declared[..]].concat()).unwrap();
        }
        for tcp in &mut peers {
            pong(tcp);
        }
        let grown = reserved_kib().saturating_sub(before);
        println!("{grown} KiB reserved for {PEERS} declared lengths of 2 MiB");
        assert!(grown < 20 * 1024, "{grown} KiB reserved for {PEERS} declared lengths of 2 MiB");
    });
}

/// Row F2: a message in fragments holds as much memory as it has bytes, and not more than the
/// limit.
#[test]
fn a_message_in_fragments_holds_no_more_than_its_limit() {
    alone(async {
        const PEERS: usize = 40;
        let server = Server::start(hub()).await;
        let mut peers: Vec<_> = (0..PEERS).map(|n| handshake_as(&server.address, &n.to_string())).collect();
        let before = reserved_kib();
        // 1.2 MiB in short fragments, for which the memory has to grow. Then a long one, without
        // its last byte.
        let short = masked_frame(0x00, &[b'x'; 1000]).repeat(1200);
        let mut long = masked_frame(0x80, &vec![b'x'; (2 << 20) - 1_200_000]);
        long.pop();
        for tcp in &mut peers {
            tcp.write_all(&masked_frame(0x01, b"")).unwrap();
            tcp.write_all(&short).unwrap();
            tcp.write_all(&masked_frame(0x89, b"")).unwrap();
            pong(tcp);
            tcp.write_all(&long).unwrap();
        }
        let held = reserved_kib().saturating_sub(before) / PEERS;
        println!("{held} KiB reserved for each message of at most 2 MiB");
        assert!(held < 2 * 1024 + 300, "{held} KiB reserved for each message of at most 2 MiB");
    });
}

/// Rows V1, P3: messages wait while a handler runs. When they are handled, their memory is free for
/// the next connections.
#[test]
fn messages_that_waited_leave_no_memory() {
    alone(async {
        const PEERS: usize = 50;
        const MESSAGES: usize = 20;
        let server = Server::start(hub()).await;
        let (before, blob) = (resident_kib(), json!("x".repeat(64 * 1024)));
        let (mut peers, mut most) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            for _ in 0..PEERS {
                let mut peer = server.peer(&peers.len().to_string()).await;
                peer.send_envelope("wait", json!(null)).await;
                for _ in 0..MESSAGES {
                    peer.send_envelope("blob", blob.clone()).await;
                }
                peer.send(Message::Ping("all read?".into())).await;
                let Some(Ok(Message::Pong(_))) = peer.next().await else { panic!("not a pong") };
                // The peer's memory is not measured, so it may keep its buffers.
                peers.push(peer.0.into_inner());
            }
            most.push(resident_kib().saturating_sub(before));
            server.hub.endpoint().resume.notify_waiters();
            for _ in 0..PEERS * MESSAGES {
                within(server.hub.endpoint().lengths.next()).await;
            }
        }
        println!("{most:?} KiB more while {PEERS} x {MESSAGES} messages waited, again and again");
        assert!(most[0] > PEERS * MESSAGES * 64, "{most:?} KiB are less than the messages");
        assert!(most[3] < most[0] * 3 / 2, "{most:?} KiB");
    });
}

/// Rows P2, P3: five thousand connections at once. Each receives messages, and an idle one uses
/// less than 32 KiB.
#[test]
fn five_thousand_connections_are_small_and_alive() {
    alone(async {
        const MANY: usize = 5000;
        let server = Server::start(hub()).await;
        // The peers are raw sockets, so that only the server's memory grows.
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
        let received = tokio::task::spawn_blocking(move || {
            for tcp in &mut peers {
                let mut header = [0; 2];
                tcp.read_exact(&mut header).unwrap();
                let mut text = vec![0; usize::from(header[1])];
                tcp.read_exact(&mut text).unwrap();
                assert!(text.ends_with(br#""data":1}"#));
            }
            peers
        });
        let peers = within(received).await.unwrap();
        drop(peers);
        within(async {
            while server.hub.len() > first.len() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    });
}

/// Row Z4: five thousand connections that have filled the context of their peers use at most 12 KiB
/// each.
#[test]
fn five_thousand_connections_that_compress_are_small() {
    alone(async {
        const MANY: usize = 5000;
        let config = Config::default().deflate(Deflate::default());
        let hub = Hub::builder().endpoint(Station::default()).config(config).build().unwrap();
        let server = Server::start(hub).await;
        let text: String = (0..400).map(|n| (n * n % 9973).to_string()).collect();
        let blob = format!(r#"{{"type":"blob","data":"{text}"}}"#);
        let mut payload = Vec::with_capacity(4096);
        let mut state = Compress::new_with_window_bits(flate2::Compression::new(6), false, 10);
        state.compress_vec(blob.as_bytes(), &mut payload, FlushCompress::Sync).unwrap();
        payload.truncate(payload.len() - 4);
        let message = masked_frame(0xc1, &payload);
        let connect = {
            let address = server.address.clone();
            move |ids: std::ops::Range<usize>| {
                let connect = |id: usize| {
                    let mut tcp = std::net::TcpStream::connect(&address).unwrap();
                    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
                    tcp.write_all(upgrade(&format!("/ws?id={id}"), offer).as_bytes()).unwrap();
                    accepted(&mut tcp).unwrap();
                    tcp.write_all(&message).unwrap();
                    tcp
                };
                ids.map(connect).collect::<Vec<_>>()
            }
        };
        let handled = async |count: usize| {
            for _ in 0..count {
                assert_eq!(within(server.hub.endpoint().lengths.next()).await, text.len());
            }
        };
        let (first, connect) = tokio::task::spawn_blocking(move || (connect(0..100), connect)).await.unwrap();
        handled(100).await;
        let before = resident_kib();
        let peers = tokio::task::spawn_blocking(move || connect(100..100 + MANY)).await.unwrap();
        handled(MANY).await;
        let each = resident_kib().saturating_sub(before) as f64 / MANY as f64;
        println!("{each:.2} KiB resident for each idle connection that compresses");
        assert!(each < 12.0, "{each:.1} KiB for each idle connection");
        drop((first, peers));
        server.stop().await;
    });
}

/// Reads the answer to an empty ping. Everything before the ping has been read then.
fn pong(tcp: &mut std::net::TcpStream) {
    let mut pong = [0; 2];
    tcp.read_exact(&mut pong).unwrap();
    assert_eq!(pong, [0x8a, 0]);
}

/// Returns a raw socket after the handshake. It reads the answer first: sockets that only send
/// their request fill the listener's queue, and the kernel then makes each wait for a second.
fn handshake_as(address: &str, id: &str) -> std::net::TcpStream {
    let mut tcp = ask(address, &format!("/ws?id={id}")).unwrap();
    accepted(&mut tcp).unwrap();
    tcp
}
