//! permessage-deflate between the ends of wsx, and with raw peers.
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wsx::{
    CancellationToken, Client, Config, Connection, Deflate, Envelope, Hub, Interest, Observer,
    connection::{Compression, Direction},
};
use wsx_tests::{
    Log, Server,
    frame::masked_frame,
    handshake::{head, upgrade},
    within,
};

/// The offer of browsers.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A message that a box sends again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
struct Reading {
    device: String,
    text: String,
    number: u32,
}

/// The same, with a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(compress = never)]
struct Secret {
    device: String,
    text: String,
    number: u32,
}

/// Kept, with a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, compress = never)]
struct KeptSecret {
    text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Kept {
    text: String,
}

fn text() -> String {
    "the same words, ".repeat(20)
}

fn reading(number: u32) -> Reading {
    Reading { device: "pump 7".into(), text: text(), number }
}

fn secret(number: u32) -> Secret {
    Secret { device: "pump 7".into(), text: text(), number }
}

/// Remembers what was compressed and what arrived.
#[derive(wsx::Endpoint, Default, Clone)]
struct Station {
    lengths: Log<(String, usize)>,
    work: Log<Compression>,
}

#[wsx::handler("reading", on = Station)]
fn on_reading(station: &Station, reading: Reading) -> Option<Reading> {
    station.lengths.add((reading.text.clone(), reading.number as usize));
    // An odd number is answered.
    (reading.number % 2 == 1).then_some(reading)
}

#[wsx::handler("secret", on = Station)]
fn on_secret(secret: Secret) -> Secret {
    secret
}

#[wsx::handler("blob", on = Station)]
fn on_blob(station: &Station, text: std::borrow::Cow<'_, str>) {
    station.lengths.add((String::new(), text.len()));
}

struct Watch(Log<Compression>);

impl Observer for Watch {
    fn interest(&self) -> Interest {
        Interest::nothing().with_messages()
    }

    fn messages_compressed(&self, _: &Connection, compression: &Compression) {
        self.0.add(*compression);
    }
}

fn hub(config: Config) -> Hub<Station> {
    let station = Station::default();
    let watch = Watch(station.work.clone());
    Hub::builder().endpoint(station).observer(watch).config(config).build().unwrap()
}

fn compressing() -> Config {
    Config::default().deflate(Deflate::default())
}

/// Returns the hub's end of a connection over memory, the peer's end of its stream, and the head of
/// the answer.
async fn connected(hub: &Hub<Station>, headers: &str) -> (Connection, DuplexStream, String) {
    let upgrading = hub.ws_handler(wsx::unique_id, |_| {});
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let serving = tokio::spawn(async move { upgrading.serve_connection(near, None).await });
    far.write_all(upgrade("/ws", headers).as_bytes()).await.unwrap();
    let answer = head(&mut far).await;
    (serving.await.unwrap().unwrap(), far, answer)
}

/// Reads a frame of the hub. Returns its first byte and its payload.
async fn frame(far: &mut DuplexStream) -> (u8, Vec<u8>) {
    within(async {
        let [first, short] = [far.read_u8().await.unwrap(), far.read_u8().await.unwrap()];
        let length = match short {
            126 => usize::from(far.read_u16().await.unwrap()),
            127 => usize::try_from(far.read_u64().await.unwrap()).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        far.read_exact(&mut payload).await.unwrap();
        (first, payload)
    })
    .await
}

/// Reads frames until a close, and returns its code.
async fn close_code(far: &mut DuplexStream) -> u16 {
    loop {
        match frame(far).await {
            (0x88, payload) => return u16::from_be_bytes([payload[0], payload[1]]),
            other => assert_ne!(other.0, 0x88),
        }
    }
}

fn deflated(message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(message.len() + 1000);
    let mut state = Compress::new_with_window_bits(flate2::Compression::new(6), false, 10);
    state.compress_vec(message, &mut payload, FlushCompress::Sync).unwrap();
    payload.truncate(payload.len() - TAIL.len());
    payload
}

fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(1 << 20);
    let mut state = Decompress::new_with_window_bits(false, 10);
    for input in [payload, &TAIL] {
        state.decompress_vec(input, &mut message, FlushDecompress::Sync).unwrap();
    }
    message
}

fn blob(length: usize) -> Vec<u8> {
    format!(r#"{{"type":"blob","data":"{}"}}"#, "x".repeat(length)).into_bytes()
}

/// Rows Z1, Z9: it is off unless both ends turn it on, and messages pass in each case.
#[tokio::test]
async fn both_ends_have_to_turn_it_on() {
    for (at_hub, at_client) in [(false, false), (true, false), (false, true), (true, true)] {
        let config = |on: bool| if on { compressing() } else { Config::default() };
        let server = Server::start(hub(config(at_hub))).await;
        let (station, echoed) = (Station::default(), Log::default());
        let client =
            Client::builder(server.url("box-7")).config(config(at_client)).observer(Watch(station.work.clone()));
        let client = client.on("reading", {
            let echoed = echoed.clone();
            move |reading: Reading, _| {
                let echoed = echoed.clone();
                async move { echoed.add(reading) }
            }
        });
        let client = client.build().unwrap();
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
        for number in 0..50 {
            client.send(&reading(2 * number + 1)).await.unwrap();
            assert_eq!(within(echoed.next()).await, reading(2 * number + 1));
        }
        let both = at_hub && at_client;
        for work in [&server.hub.endpoint().work, &station.work] {
            let mut totals = [[0; 3]; 2];
            while let Some(work) = work.try_next() {
                let total = &mut totals[usize::from(work.direction == Direction::Received)];
                *total = [total[0] + work.messages, total[1] + work.plain_bytes, total[2] + work.wire_bytes];
            }
            for [messages, plain, wire] in totals {
                assert_eq!(messages, if both { 50 } else { 0 }, "hub {at_hub}, client {at_client}");
                assert!(!both || wire * 2 < plain, "{wire} of {plain} bytes");
            }
        }
        client.close();
        server.stop().await;
    }
}

/// Row Z1: the answer names the extension only if the peer has offered it and the hub has it on.
#[tokio::test]
async fn a_peer_without_the_offer_is_served_as_before() {
    for (config, headers, expected) in [
        (Config::default(), OFFER, false),
        (compressing(), "", false),
        (compressing(), "Sec-WebSocket-Extensions: permessage-deflate; mode=7\r\n", false),
        (compressing(), OFFER, true),
    ] {
        let (conn, mut far, answer) = connected(&hub(config), headers).await;
        let named = answer.to_ascii_lowercase().contains("sec-websocket-extensions: permessage-deflate; ");
        assert_eq!(named, expected, "{answer}");
        conn.send(&reading(1)).await.unwrap();
        let (first, payload) = frame(&mut far).await;
        assert_eq!(first, if expected { 0xc1 } else { 0x81 });
        let message = if expected { inflated(&payload) } else { payload };
        assert!(String::from_utf8(message).unwrap().contains("the same words"));
    }
}

/// Row Z6: RSV1 where it is not allowed closes with 1002, and a broken stream with 1007.
#[tokio::test]
async fn a_frame_that_breaks_the_rules_of_the_extension_closes_the_connection() {
    let whole = deflated(&blob(100));
    let first_half = masked_frame(0x41, &whole[..5]);
    for (headers, frames, code) in [
        ("", masked_frame(0xc1, &whole), 1002),
        (OFFER, masked_frame(0xa1, &whole), 1002),
        (OFFER, masked_frame(0x91, &whole), 1002),
        (OFFER, masked_frame(0xe1, &whole), 1002),
        (OFFER, masked_frame(0xc9, b"ping"), 1002),
        (OFFER, masked_frame(0xc8, b""), 1002),
        (OFFER, [first_half.clone(), masked_frame(0xc0, &whole[5..])].concat(), 1002),
        (OFFER, masked_frame(0xc1, b"\x07rubbish"), 1007),
        (OFFER, masked_frame(0xc1, &whole[..whole.len() - 2]), 1007),
        (OFFER, masked_frame(0xc1, &deflated(b"\xff is not UTF-8, though it is long enough")), 1007),
    ] {
        let (_conn, mut far, _) = connected(&hub(compressing()), headers).await;
        far.write_all(&frames).await.unwrap();
        assert_eq!(close_code(&mut far).await, code, "{:x?}", &frames[..2]);
    }
}

/// Row Z2: fragments of one compressed message, with a ping between them, and in pieces of bytes.
#[tokio::test]
async fn a_compressed_message_may_come_in_fragments() {
    for piece in [1, 7, 1000] {
        let hub = hub(compressing());
        let (_conn, mut far, _) = connected(&hub, OFFER).await;
        let whole = deflated(&blob(3000));
        let (first, rest) = whole.split_at(whole.len() / 3);
        let (second, third) = rest.split_at(1);
        let frames = [
            masked_frame(0x41, first),
            masked_frame(0x89, b"ping"),
            masked_frame(0x00, second),
            masked_frame(0x00, b""),
            masked_frame(0x80, third),
            masked_frame(0x81, &blob(7)),
            masked_frame(0xc1, &deflated(&blob(8))),
        ];
        for bytes in frames.concat().chunks(piece) {
            far.write_all(bytes).await.unwrap();
            tokio::task::yield_now().await;
        }
        for length in [3000, 7, 8] {
            assert_eq!(within(hub.endpoint().lengths.next()).await, (String::new(), length));
        }
        assert_eq!(frame(&mut far).await, (0x8a, b"ping".to_vec()));
    }
}

/// Row Z5: the limit counts the inflated bytes: what has it exactly is handled, and one byte more
/// closes with 1009, however short the message is on the wire.
#[tokio::test]
async fn the_maximum_length_holds_for_the_inflated_message() {
    let limit = 300_000;
    let longest = limit - blob(0).len();
    let hub = hub(compressing().max_message_size(limit));
    for fragmented in [false, true] {
        let frames = |message: &[u8]| {
            let payload = deflated(message);
            assert!(payload.len() < 3000, "{} bytes", payload.len());
            if fragmented {
                let (first, second) = payload.split_at(100);
                [masked_frame(0x41, first), masked_frame(0x80, second)].concat()
            } else {
                masked_frame(0xc1, &payload)
            }
        };
        let (_conn, mut far, _) = connected(&hub, OFFER).await;
        far.write_all(&frames(&blob(longest))).await.unwrap();
        assert_eq!(within(hub.endpoint().lengths.next()).await.1, longest);
        far.write_all(&frames(&blob(longest + 1))).await.unwrap();
        assert_eq!(close_code(&mut far).await, 1009);
    }
}

/// Row Z5: noise is a little longer in DEFLATE, and counts with its own length. A header alone is
/// enough to reject a message that could not be shorter than the limit.
#[tokio::test]
async fn a_message_that_deflate_makes_longer_has_the_same_limit() {
    let limit = 1000;
    let hub = hub(compressing().max_message_size(limit));
    let stored = |length: usize| {
        let message = blob(length - blob(0).len());
        // Stored blocks of 100 bytes.
        let blocks = message.chunks(100).map(|block| {
            let length = u16::try_from(block.len()).unwrap();
            [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), block].concat()
        });
        [blocks.collect::<Vec<_>>().concat(), vec![0]].concat()
    };
    let (_conn, mut far, _) = connected(&hub, OFFER).await;
    far.write_all(&masked_frame(0xc1, &stored(limit))).await.unwrap();
    assert_eq!(within(hub.endpoint().lengths.next()).await.1, limit - blob(0).len());
    far.write_all(&masked_frame(0xc1, &stored(2 * limit))[..8]).await.unwrap();
    assert_eq!(close_code(&mut far).await, 1009);
}

/// Row Z10: a type with `compress = never` is not compressed on any path, and a short message is
/// not either. Replies, requests, kept messages and broadcasts of other types are.
#[tokio::test]
async fn a_type_that_is_never_compressed_is_sent_as_it_is() {
    let hub = hub(compressing());
    let (conn, mut far, _) = connected(&hub, OFFER).await;
    // Kept messages wait for the peer's number.
    let mut next = async || loop {
        let (first, payload) = frame(&mut far).await;
        let message = if first == 0xc1 { inflated(&payload) } else { payload };
        let message = String::from_utf8(message).unwrap();
        if message.contains("the same words") || message.contains("\"tick\"") {
            return (first == 0xc1, message.contains("secret"));
        }
    };
    let (shown, hidden) = ((true, false), (false, true));
    conn.send(&reading(0)).await.unwrap();
    assert_eq!(next().await, shown);
    conn.send(&secret(0)).await.unwrap();
    assert_eq!(next().await, hidden);
    conn.try_send(&reading(0)).unwrap();
    assert_eq!(next().await, shown);
    conn.try_send(&secret(0)).unwrap();
    assert_eq!(next().await, hidden);
    hub.send_to(conn.id(), &reading(0)).await.unwrap();
    assert_eq!(next().await, shown);
    hub.send_to(conn.id(), &secret(0)).await.unwrap();
    assert_eq!(next().await, hidden);
    hub.broadcast(&reading(0)).await.unwrap();
    assert_eq!(next().await, shown);
    hub.broadcast(&secret(0)).await.unwrap();
    assert_eq!(next().await, hidden);
    conn.send(&Envelope::with_type("tick", 1)).await.unwrap();
    assert_eq!(next().await, (false, false), "it is short");
    conn.send_bytes(serde_json::to_string(&reading(0)).unwrap()).await.unwrap();
    assert_eq!(next().await, shown);
    let ask = conn.request_as::<Reading>(&reading(0));
    let _ = tokio::time::timeout(Duration::ZERO, ask).await;
    assert_eq!(next().await, shown);
    let ask = conn.request_as::<Reading>(&secret(0));
    let _ = tokio::time::timeout(Duration::ZERO, ask).await;
    assert_eq!(next().await, hidden);
}

/// Row Z10: the replies of handlers.
#[tokio::test]
async fn a_reply_is_compressed_unless_its_type_forbids_it() {
    let hub = hub(compressing());
    let (_conn, mut far, _) = connected(&hub, OFFER).await;
    far.write_all(&masked_frame(0x81, &serde_json::to_vec(&Envelope::with_type("reading", reading(1))).unwrap()))
        .await
        .unwrap();
    let (first, payload) = frame(&mut far).await;
    assert_eq!(first, 0xc1);
    assert!(String::from_utf8(inflated(&payload)).unwrap().contains("the same words"));
    far.write_all(&masked_frame(0x81, &serde_json::to_vec(&Envelope::with_type("secret", secret(1))).unwrap()))
        .await
        .unwrap();
    assert_eq!(frame(&mut far).await.0, 0x81);
}

/// Row Z10: kept messages, which their store has meanwhile.
#[tokio::test]
async fn a_kept_message_is_compressed_unless_its_type_forbids_it() {
    let hub = hub(compressing());
    let (conn, mut far, _) = connected(&hub, OFFER).await;
    conn.send(&Kept { text: text() }).await.unwrap();
    conn.send(&KeptSecret { text: text() }).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let (first, payload) = frame(&mut far).await;
        let message = if first == 0xc1 { inflated(&payload) } else { payload };
        let message = String::from_utf8(message).unwrap();
        if message.contains("the same words") {
            seen.push((first == 0xc1, message.contains("kept_secret")));
        } else if let Ok(begin) = serde_json::from_str::<serde_json::Value>(&message) {
            // The peer has handled nothing yet.
            let epoch = &begin["seq"]["epoch"];
            let ack = serde_json::json!({"type": "delivery", "ack": {"epoch": epoch, "seq": 0, "latest": 0}});
            far.write_all(&masked_frame(0x81, ack.to_string().as_bytes())).await.unwrap();
        }
    }
    assert_eq!(seen, [(true, false), (false, true)]);
}

/// Row Z11: a broadcast is compressed once for all connections with the same parameters, and each
/// connection gets what it agreed on.
#[tokio::test]
async fn a_broadcast_is_compressed_once_for_each_set_of_parameters() {
    let config = Config::default().deflate(Deflate::default().server_context(true));
    for (config, kinds) in [(compressing(), 2), (config, 1)] {
        let hub = hub(config);
        let offers = [
            "",
            OFFER,
            OFFER,
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_max_window_bits=9\r\n",
            OFFER,
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_max_window_bits=9\r\n",
        ];
        let mut peers = Vec::new();
        for offer in offers {
            peers.push(connected(&hub, offer).await);
        }
        assert_eq!(hub.broadcast(&reading(4)).await.unwrap(), 6);
        let mut payloads = Vec::new();
        for ((_, far, answer), offer) in peers.iter_mut().zip(offers) {
            let (first, payload) = frame(far).await;
            assert_eq!(first, if offer.is_empty() { 0x81 } else { 0xc1 }, "{answer}");
            let message = if offer.is_empty() { payload.clone() } else { inflated(&payload) };
            assert!(String::from_utf8(message).unwrap().contains("the same words"));
            payloads.push(payload);
        }
        let mut timed = 0;
        let mut messages = 0;
        while messages < 5 {
            let work = within(hub.endpoint().work.next()).await;
            assert_eq!(work.direction, Direction::Sent);
            messages += work.messages;
            timed += usize::from(!work.elapsed.is_zero());
        }
        let with_context = if kinds == 1 { 3 } else { 0 };
        assert_eq!(timed, kinds + with_context, "one for each set, and one for each connection with a context");
    }
}

/// Row Z1: in an HTTP server of the program, here axum, which makes the upgrade.
#[tokio::test]
async fn a_hub_in_another_http_server_compresses_too() {
    let hub = hub(compressing());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let app = axum::Router::new().route_service("/ws", hub.ws_handler(wsx::unique_id, |_| {}));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let client = Client::builder(&url).config(compressing()).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    client.send(&reading(1)).await.unwrap();
    let mut seen = [false; 2];
    while seen != [true; 2] {
        let work = within(hub.endpoint().work.next()).await;
        seen[usize::from(work.direction == Direction::Sent)] = true;
    }
    client.close();
}

/// Row Z10: what the program sends before the connection is open is compressed, too.
#[tokio::test]
async fn a_greeting_is_compressed() {
    let hub = hub(compressing());
    let upgrading = hub.ws_handler(wsx::unique_id, |conn| conn.try_send(&reading(0)).unwrap());
    let (near, mut far) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move { upgrading.serve_connection(near, None).await });
    far.write_all(upgrade("/ws", OFFER).as_bytes()).await.unwrap();
    head(&mut far).await;
    assert_eq!(frame(&mut far).await.0, 0xc1);
}

/// Row Z9: a broadcast that waits for room counts, too.
#[tokio::test]
async fn a_broadcast_to_a_full_queue_is_counted() {
    let hub = hub(compressing().queue_messages(1));
    let (_conn, mut far, _) = connected(&hub, OFFER).await;
    let sending = tokio::spawn({
        let hub = hub.clone();
        async move {
            for number in 0..20 {
                hub.broadcast(&reading(2 * number)).await.unwrap();
            }
        }
    });
    for _ in 0..20 {
        assert_eq!(frame(&mut far).await.0, 0xc1);
    }
    within(sending).await.unwrap();
    let mut messages = 0;
    while messages < 20 {
        messages += within(hub.endpoint().work.next()).await.messages;
    }
    assert_eq!(messages, 20);
}
