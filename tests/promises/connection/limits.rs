//! The defaults, and the maximum length of a message.
use futures_util::SinkExt;
use std::{
    io::{Read, Write},
    time::Duration,
};
use tokio_tungstenite::tungstenite::Message;
use wsx::{Backoff, CloseCode, ClosedBy, Config, Hub, OverLimit};
use wsx_tests::{
    Log, Server,
    frame::masked_frame,
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
    assert_eq!(config.receive_limit, None);
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

/// Row B2: the bounds for real links add a heartbeat and the limits of TCP to the defaults.
#[test]
fn the_bounds_for_real_links_are_those_of_the_documents() {
    let seconds = Duration::from_secs;
    let expected = Config::default().heartbeat(seconds(25), seconds(10)).tcp_user_timeout(seconds(30)).tcp_keepalive(
        seconds(30),
        seconds(10),
        3,
    );
    let expected = expected.receive_limit(1000, 4 << 20, seconds(10), OverLimit::Wait).report_failures(true);
    assert_eq!(Config::edge(), expected);
}

/// Rows V1, T6: a message of exactly the limit is read. One byte more is rejected with 1009, which
/// the peer receives.
#[tokio::test]
async fn a_message_over_the_limit_is_rejected_with_1009() {
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
    // The server rejects the message after its header, so the rest may find the connection closed.
    let _ = within(peer.0.send(Message::text(frame(limit + 1)))).await;
    let (code, reason) = peer.close().await;
    assert_eq!(code, 1009);
    assert!(reason.contains("too long"), "{reason}");
    let (_, closed) = memory.connection_closed().await;
    assert_eq!((closed.code, closed.by), (CloseCode::MESSAGE_TOO_BIG, ClosedBy::Us));
}

/// Row T6: the limit applies to a message in fragments too.
#[tokio::test]
async fn fragments_count_together() {
    let server = Server::start(hub(Config::default().max_message_size(1000))).await;
    let mut tcp = handshake_as(&server.address, "bare");
    let answer = within(tokio::task::spawn_blocking(move || {
        tcp.write_all(&masked_frame(0x01, &[b'x'; 600])).unwrap();
        tcp.write_all(&masked_frame(0x80, &[b'x'; 600])).unwrap();
        accepted(&mut tcp).unwrap();
        let mut answer = [0; 4];
        tcp.read_exact(&mut answer).unwrap();
        answer
    }))
    .await
    .unwrap();
    assert_eq!((answer[0], u16::from_be_bytes([answer[2], answer[3]])), (0x88, 1009));
}

/// A frame that breaks RFC 6455 is answered with the right close code.
#[tokio::test]
async fn a_frame_against_the_rfc_is_answered_with_its_code() {
    let server = Server::start(hub(Config::default())).await;
    for (frame, code) in [
        (&b"\x81\x85\0\0\0\0\xff\xfe\xfd\xfc\xfb"[..], 1007), // text that is not UTF-8
        (b"\x81\x01x", 1002),                                 // not masked
        (b"\xc1\x81\0\0\0\0x", 1002),                         // a reserved bit
        (b"\x83\x81\0\0\0\0x", 1002),                         // an undefined opcode
        (b"\x80\x81\0\0\0\0x", 1002),                         // a continuation without a first frame
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

/// Returns a raw socket after the handshake request. The answer is not read yet.
fn handshake_as(address: &str, id: &str) -> std::net::TcpStream {
    ask(address, &format!("/ws?id={id}")).unwrap()
}
