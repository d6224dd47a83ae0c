//! Row R8 of the specification: servers that break the protocol or attack the client. The client
//! reports the error, sends the right close code, keeps its memory bounded, and then reconnects to
//! a good server.
use futures_util::future::BoxFuture;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wsx::{
    Backoff, CancellationToken, Client, Closed, ClosedBy, Config, ConnectError, Connection, Envelope, Hub,
    client::ClientBuilder,
    http::{HeaderName, HeaderValue},
};
use wsx_tests::{
    Log,
    alone::{alone, resident_kib},
    chain,
    handshake::{GOOD, completed},
    within,
};

/// What such a server does with a connection.
type Act = Arc<dyn Fn(TcpStream) -> BoxFuture<'static, ()> + Send + Sync>;

fn act<F: Future<Output = ()> + Send + 'static>(act: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Act {
    Arc::new(move |tcp| Box::pin(act(tcp)))
}

/// Starts a server that runs `act` on its first `rounds` connections and echoes notes on all later
/// ones. Returns its URL.
async fn hostile_server(rounds: usize, act: Act) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for _ in 0..rounds {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(act(tcp));
        }
        let echo = |text: String, _: Connection| async move { Envelope::with_type("note", text) };
        Hub::builder().on("note", echo).build().unwrap().ws_handler(wsx::unique_id, |_| {}).serve(listener).await;
    });
    url
}

/// A client that logs notes and reconnects at once.
fn client(url: &str, notes: &Log<String>) -> ClientBuilder {
    let notes = notes.clone();
    Client::builder(url)
        .backoff(Backoff::default().initial(Duration::from_millis(5)).max(Duration::from_millis(50)))
        .on("note", move |text: String, _| {
            notes.add(text);
            async {}
        })
}

/// Asserts that the client works on its present connection.
async fn assert_works(client: &Client, notes: &Log<String>) {
    within(async {
        // The present connection may be about to close.
        while client.send(&Envelope::with_type("note", "still working")).await.is_err() {
            client.connected().await.unwrap();
        }
    })
    .await;
    assert_eq!(notes.next().await, "still working");
}

/// Returns the error of an attempt with such a server, and asserts that a client with reconnecting
/// gets to a good server.
async fn failure(config: Config, act: Act) -> ConnectError {
    let (url, notes) = (hostile_server(2, act).await, Log::default());
    let once = client(&url, &notes).config(config.clone()).reconnect(false).build().unwrap();
    let error = within(once.connect(CancellationToken::new(), |_| {})).await.unwrap_err();
    let reconnecting = client(&url, &notes).config(config).build().unwrap();
    within(reconnecting.connect(CancellationToken::new(), |_| {})).await.unwrap();
    assert_works(&reconnecting, &notes).await;
    reconnecting.close();
    within(reconnecting.closed()).await;
    error
}

/// Reads until the client closes the connection.
async fn read_to_end(mut tcp: TcpStream) {
    let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
}

/// Sends this answer, and lets the client close the connection.
fn answering(text: impl Into<Arc<str>>) -> Act {
    let text = text.into();
    act(move |mut tcp| {
        let text = text.clone();
        async move {
            let Some(answer) = completed(&mut tcp, &text).await else { return };
            // The client may close before it has read all of it.
            let _ = tcp.write_all(answer.as_bytes()).await;
            read_to_end(tcp).await;
        }
    })
}

#[tokio::test]
async fn another_status_is_a_rejection_with_that_status() {
    for (status, is_refusal) in [
        ("200 OK", false),
        ("301 Moved Permanently", false),
        ("302 Found", false),
        ("307 Temporary Redirect", false),
        ("308 Permanent Redirect", false),
        ("400 Bad Request", false),
        ("401 Unauthorized", true),
        ("403 Forbidden", true),
        ("404 Not Found", true),
        ("410 Gone", true),
        ("426 Upgrade Required", false),
        ("429 Too Many Requests", false),
        ("500 Internal Server Error", false),
        ("503 Service Unavailable", false),
    ] {
        let location = "Location: ws://127.0.0.1:1/elsewhere\r\n";
        let text = format!("HTTP/1.1 {status}\r\n{location}Content-Length: 8\r\n\r\nthe body");
        let error = failure(Config::default(), answering(text)).await;
        let code: u16 = status[..3].parse().unwrap();
        assert!(matches!(&error, ConnectError::Rejected { status, .. } if *status == code), "{status}: {error:?}");
        assert_eq!(error.is_refusal(), is_refusal, "{status}");
        assert!(!error.is_final(), "{status}");
        assert!(error.to_string().contains(status), "{error}");
        assert_eq!(error.to_string().contains("redirects are not followed"), status.starts_with('3'), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_opens_no_websocket_fails_the_handshake() {
    let with = |header: &str| GOOD.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
    for (name, text, expected) in [
        ("a wrong key", GOOD.replace("ACCEPT", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "accept"),
        ("no key", GOOD.replace("Sec-WebSocket-Accept: ACCEPT\r\n", ""), "accept"),
        ("two keys", with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "sec-websocket-accept"),
        ("no upgrade", GOOD.replace("Upgrade: websocket\r\n", ""), "upgrade"),
        ("another upgrade", GOOD.replace("Upgrade: websocket", "Upgrade: h2c"), "upgrade"),
        ("no connection", GOOD.replace("Connection: Upgrade\r\n", ""), "connection"),
        ("another connection", GOOD.replace("Connection: Upgrade", "Connection: close"), "connection"),
        ("a subprotocol unasked", with("Sec-WebSocket-Protocol: chat"), "subprotocol"),
        ("an extension unasked", with("Sec-WebSocket-Extensions: permessage-deflate"), "sec-websocket-extensions"),
        ("HTTP/1.0", GOOD.replace("HTTP/1.1", "HTTP/1.0"), "http version"),
        ("HTTP/2", "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\u{7f}\n\n".to_owned(), ""),
        ("SSH", "SSH-2.0-OpenSSH_9.2\r\n".to_owned(), ""),
        ("a status that is none", GOOD.replace("101", "1x1"), ""),
        ("a control character", with("X: a\x01b"), ""),
        ("two hundred headers", with(&"X: y\r\n".repeat(200)), ""),
        ("an empty line first", format!("\r\n\r\n{GOOD}"), "empty line"),
    ] {
        let error = failure(Config::default(), answering(text)).await;
        assert!(matches!(&error, ConnectError::Handshake(_)), "{name}: {error:?}");
        assert!(!error.is_refusal() && !error.is_final(), "{name}");
        assert!(chain(&error).to_lowercase().contains(expected), "{name}: {}", chain(&error));
    }
}

/// RFC 6455 section 4.1: the server may choose a subprotocol that the client asked for. Any other,
/// or a second one, is an error.
#[tokio::test]
async fn only_a_subprotocol_that_was_asked_for_is_taken() {
    for (answered, taken) in [
        ("Sec-WebSocket-Protocol: b", true),
        ("Sec-WebSocket-Protocol: c", false),
        ("Sec-WebSocket-Protocol: a, b", false),
        ("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b", false),
    ] {
        let url = hostile_server(1, answering(GOOD.replace("\r\n\r\n", &format!("\r\n{answered}\r\n\r\n")))).await;
        let asked = (HeaderName::from_static("sec-websocket-protocol"), HeaderValue::from_static("a, b"));
        let client = Client::builder(url).header(asked.0, asked.1).reconnect(false).build().unwrap();
        let connected = within(client.connect(CancellationToken::new(), |_| {})).await;
        match connected {
            Ok(_) => assert!(taken, "{answered}"),
            Err(ConnectError::Handshake(_)) => assert!(!taken, "{answered}"),
            Err(error) => panic!("{answered}: {error:?}"),
        }
    }
}

/// A good answer that arrives byte by byte opens a connection too.
#[tokio::test]
async fn an_answer_in_single_bytes_opens_a_connection() {
    let drip = act(|mut tcp| async move {
        tcp.set_nodelay(true).unwrap();
        let answer = completed(&mut tcp, GOOD).await.unwrap();
        for byte in answer.bytes() {
            tcp.write_all(&[byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        read_to_end(tcp).await;
    });
    let client = Client::builder(hostile_server(1, drip).await).reconnect(false).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
}

/// Sends `first`, then `again` until the client closes the connection, with or without pauses.
fn endless(first: &'static str, again: &'static [u8], pause: Option<Duration>) -> Act {
    act(move |mut tcp| async move {
        let Some(answer) = completed(&mut tcp, first).await else { return };
        let mut written = tcp.write_all(answer.as_bytes()).await;
        while written.is_ok() {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            written = tcp.write_all(again).await;
        }
    })
}

#[tokio::test]
async fn an_endless_head_is_not_read_to_its_end() {
    for (name, again) in
        [("headers", &b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"[..]), ("one line", b"x")]
    {
        let act = endless("HTTP/1.1 101 Switching Protocols\r\nX: ", again, None);
        let error = failure(Config::default(), act).await;
        assert!(matches!(&error, ConnectError::Handshake(_)), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up_at_its_deadline() {
    let short = Config::default().handshake_timeout(Duration::from_millis(300));
    for (name, act) in [
        ("silence", act(read_to_end)),
        ("half a head", answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")),
        ("byte by byte", endless("HTTP/1.1 101 Switching Protocols\r\nX: ", b"x", Some(Duration::from_millis(5)))),
    ] {
        let error = failure(short.clone(), act).await;
        assert!(matches!(&error, ConnectError::Timeout(_)), "{name}: {error:?}");
        assert!(!error.is_refusal() && !error.is_final(), "{name}");
    }
}

/// Closes a connection with a reset.
fn reset(tcp: TcpStream) {
    tcp.set_zero_linger().unwrap();
    drop(tcp);
}

#[tokio::test]
async fn a_server_that_hangs_up_fails_the_handshake() {
    for (name, act) in [
        ("at once", act(|tcp| async { drop(tcp) })),
        ("with a reset", act(|tcp| async { reset(tcp) })),
        (
            "after the request",
            act(|mut tcp| async move {
                let _ = completed(&mut tcp, "").await;
            }),
        ),
        (
            "in the middle of its answer",
            act(|mut tcp| async move {
                let answer = completed(&mut tcp, GOOD).await.unwrap();
                tcp.write_all(&answer.as_bytes()[..answer.len() - 2]).await.unwrap();
            }),
        ),
    ] {
        let error = failure(Config::default(), act).await;
        assert!(matches!(&error, ConnectError::Handshake(_)), "{name}: {error:?}");
    }
}

/// Returns how a connection closes on which the server does this right after its answer. Asserts
/// that the client reconnects to a good server.
async fn close_of(config: Config, act: impl Fn(TcpStream) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Closed {
    let act = Arc::new(act);
    let opening = self::act(move |mut tcp| {
        let act = act.clone();
        async move {
            let answer = completed(&mut tcp, GOOD).await.unwrap();
            tcp.write_all(answer.as_bytes()).await.unwrap();
            act(tcp).await;
        }
    });
    let (url, notes, opened) = (hostile_server(1, opening).await, Log::default(), Log::default());
    let (client, log) = (client(&url, &notes).config(config).build().unwrap(), opened.clone());
    within(client.connect(CancellationToken::new(), move |conn| log.add(conn.clone()))).await.unwrap();
    let first: Connection = opened.next().await;
    let closed = within(first.closed()).await;
    opened.next().await;
    assert_works(&client, &notes).await;
    closed
}

/// Reads the client's frames up to its close frame, and returns the code. Returns `None` when the
/// stream ends without a close frame. Asserts that all frames are masked.
async fn close_code(tcp: &mut TcpStream) -> Option<u16> {
    loop {
        let mut header = [0; 2];
        tcp.read_exact(&mut header).await.ok()?;
        let length = match header[1] & 0x7f {
            126 => usize::from(tcp.read_u16().await.ok()?),
            127 => usize::try_from(tcp.read_u64().await.ok()?).unwrap(),
            length => usize::from(length),
        };
        assert_eq!(header[1] & 0x80, 0x80, "a client masks its frames (RFC 6455 section 5.1)");
        let mut rest = vec![0; 4 + length];
        tcp.read_exact(&mut rest).await.ok()?;
        let (key, payload) = rest.split_at(4);
        if header[0] == 0x88 {
            let code = payload.iter().zip(key).map(|(byte, key)| byte ^ key).collect::<Vec<_>>();
            return Some(code.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
        }
    }
}

/// Returns a frame without a mask, as servers send it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(length as u8),
        length => {
            frame.push(126);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// Returns a header that declares this many bytes, and the first of them.
fn declaring(first: u8, length: u64) -> Vec<u8> {
    let mut frame = vec![first, 127];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.push(b'x');
    frame
}

/// Frames that a server must not send, each with the close code that it receives (RFC 6455 section
/// 7.4.1).
fn forbidden() -> Vec<(String, Vec<u8>, u16)> {
    let mut cases = vec![
        ("a mask".to_owned(), b"\x81\x81\x01\x02\x03\x04y".to_vec(), 1002),
        ("a masked ping".to_owned(), b"\x89\x80\x01\x02\x03\x04".to_vec(), 1002),
        ("3 GB".to_owned(), declaring(0x82, 3 << 30), 1009),
        ("a ping of 3 GB".to_owned(), declaring(0x89, 3 << 30), 1002),
        ("2^63 - 1 bytes".to_owned(), declaring(0x82, (1 << 63) - 1), 1009),
        // The top bit must be zero (RFC 6455 section 5.2).
        ("2^63 bytes".to_owned(), declaring(0x82, 1 << 63), 1002),
        ("2^64 - 1 bytes".to_owned(), declaring(0x82, u64::MAX), 1002),
        (
            "a long message in fragments".to_owned(),
            [frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 600])].concat(),
            1009,
        ),
        ("text that is not UTF-8".to_owned(), frame(0x81, b"\xff\xfe"), 1007),
        ("half a character".to_owned(), frame(0x81, b"\xc3"), 1007),
        ("fragments that are not UTF-8".to_owned(), [frame(0x01, b"\xc3"), frame(0x80, b"x")].concat(), 1007),
        ("a long ping".to_owned(), frame(0x89, &[b'x'; 126]), 1002),
        ("a long pong".to_owned(), frame(0x8a, &[b'x'; 126]), 1002),
        ("a long close".to_owned(), frame(0x88, &[3; 126]), 1002),
        ("half a ping".to_owned(), frame(0x09, b"x"), 1002),
        ("half a close".to_owned(), frame(0x08, b"\x03\xe8"), 1002),
        ("a continuation without a first frame".to_owned(), frame(0x80, b"x"), 1002),
        ("a text inside of a text".to_owned(), [frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
        ("a close code of one byte".to_owned(), frame(0x88, b"\x03"), 1002),
        ("a close reason that is not UTF-8".to_owned(), frame(0x88, b"\x03\xe8\xff"), 1007),
        ("bytes that are not a frame".to_owned(), b"HTTP/1.1 500 Internal Server Error\r\n\r\n".repeat(4), 1002),
    ];
    for bit in [0x40, 0x20, 0x10] {
        cases.push((format!("the reserved bit {bit:#x}"), frame(0x81 | bit, b"x"), 1002));
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        cases.push((format!("the reserved opcode {opcode:#x}"), frame(0x80 | opcode, b"x"), 1002));
    }
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
        cases.push((format!("the close code {code}"), frame(0x88, &code.to_be_bytes()), 1002));
    }
    cases
}

/// With and without more bytes after the frame.
#[tokio::test]
async fn a_frame_against_the_rfc_is_answered_with_its_code() {
    let config = Config::default().max_message_size(1000);
    for (name, bytes, code) in forbidden() {
        for more in [0, 60_000] {
            let (codes, bytes) = (Log::default(), [&*bytes, &vec![b'x'; more]].concat());
            let log = codes.clone();
            let closed = close_of(config.clone(), move |mut tcp| {
                let (log, bytes) = (log.clone(), bytes.clone());
                Box::pin(async move {
                    tcp.write_all(&bytes).await.unwrap();
                    log.add(close_code(&mut tcp).await);
                })
            })
            .await;
            assert_eq!(codes.next().await, Some(code), "{name}, with {more} bytes after it");
            assert_eq!(u16::from(closed.code), code, "{name}: {closed}");
            assert_ne!(closed.by, ClosedBy::Link, "{name}: {closed}");
        }
    }
}

#[tokio::test]
async fn garbage_in_the_segment_of_the_answer_is_answered_with_its_code() {
    let codes = Log::default();
    let log = codes.clone();
    let garbage = act(move |mut tcp| {
        let log = log.clone();
        async move {
            let answer = completed(&mut tcp, GOOD).await.unwrap();
            tcp.write_all(&[answer.as_bytes(), b"garbage!".repeat(100).as_slice()].concat()).await.unwrap();
            log.add(close_code(&mut tcp).await);
        }
    });
    let (url, notes) = (hostile_server(1, garbage).await, Log::default());
    let client = client(&url, &notes).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    assert_eq!(codes.next().await, Some(1002));
    assert_works(&client, &notes).await;
}

#[tokio::test]
async fn a_server_that_hangs_up_without_a_close_frame_is_a_broken_link() {
    type HangUp = fn(TcpStream) -> BoxFuture<'static, ()>;
    let hang_ups: [(&str, HangUp); 4] = [
        ("at once", |tcp| Box::pin(async { drop(tcp) })),
        ("with a reset", |tcp| Box::pin(async { reset(tcp) })),
        ("in the middle of a header", |mut tcp| Box::pin(async move { tcp.write_all(b"\x81").await.unwrap() })),
        ("in the middle of a message", |mut tcp| {
            Box::pin(async move { tcp.write_all(b"\x01\x01x\x80\x05y").await.unwrap() })
        }),
    ];
    for (name, hang_up) in hang_ups {
        let closed = close_of(Config::default(), hang_up).await;
        assert_eq!((u16::from(closed.code), closed.by), (1006, ClosedBy::Link), "{name}");
    }
}

/// RFC 6455 section 5.5.1: frames after a close frame are not handled.
#[tokio::test]
async fn a_message_after_a_close_frame_is_not_handled() {
    let codes = Log::default();
    let log = codes.clone();
    let note = frame(0x81, br#"{"type":"note","data":"after the close frame"}"#);
    let bytes = [frame(0x88, b"\x0f\xa1bye"), note, frame(0x88, b"\x03\xe8"), frame(0xff, b"x")].concat();
    // `close_of` waits for its own note, and would find this one first.
    let closed = close_of(Config::default(), move |mut tcp| {
        let (log, bytes) = (log.clone(), bytes.clone());
        Box::pin(async move {
            tcp.write_all(&bytes).await.unwrap();
            log.add(close_code(&mut tcp).await);
        })
    })
    .await;
    assert_eq!(codes.next().await, Some(4001));
    assert_eq!((u16::from(closed.code), &*closed.reason, closed.by), (4001, "bye", ClosedBy::Peer));
}

/// A server that reads nothing is cut off after the write timeout, although the client has more to
/// send.
#[tokio::test]
async fn a_server_that_never_reads_is_cut_after_the_write_timeout() {
    let silent = never_reading();
    let (url, notes, opened) = (hostile_server(1, silent).await, Log::default(), Log::default());
    let config = Config::default().write_timeout(Duration::from_millis(300));
    let (client, log) = (client(&url, &notes).config(config).build().unwrap(), opened.clone());
    within(client.connect(CancellationToken::new(), move |conn| log.add(conn.clone()))).await.unwrap();
    let first: Connection = opened.next().await;
    let blob = Envelope::with_type("blob", "x".repeat(1 << 20));
    // The queue and the kernel's buffers fill up. Then the send waits until the connection closes.
    while within(first.send(&blob)).await.is_ok() {}
    let closed = within(first.closed()).await;
    assert_eq!((u16::from(closed.code), closed.by), (1006, ClosedBy::Link));
    assert!(closed.reason.contains("has taken nothing"), "{closed}");
    assert_works(&client, &notes).await;
}

/// Opens a connection, and never reads from it.
fn never_reading() -> Act {
    act(|mut tcp| async move {
        let answer = completed(&mut tcp, GOOD).await.unwrap();
        tcp.write_all(answer.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
        drop(tcp);
    })
}

/// A server that does not answer a close frame, or floods meanwhile, delays the close by at most
/// the close timeout.
#[tokio::test]
async fn a_client_that_closes_does_not_wait_for_ever() {
    let floods: [(&str, Vec<u8>); 5] = [
        ("nothing", Vec::new()),
        ("pings", frame(0x89, &[b'x'; 125])),
        ("text", frame(0x81, b"x")),
        ("empty fragments", vec![0x00, 0]),
        ("half a message", b"\x81\x7e\xff\xff".to_vec()),
    ];
    for (name, flood) in floods {
        let act = act(move |mut tcp| {
            let flood = if flood.is_empty() { Vec::new() } else { flood.repeat(64 * 1024 / flood.len()) };
            async move {
                let answer = completed(&mut tcp, GOOD).await.unwrap();
                tcp.write_all(answer.as_bytes()).await.unwrap();
                // Starts the message that the fragments continue.
                tcp.write_all(&frame(0x01, b"")).await.unwrap();
                while !flood.is_empty() && tcp.write_all(&flood).await.is_ok() {}
                std::future::pending::<()>().await;
            }
        });
        let (url, notes) = (hostile_server(1, act).await, Log::default());
        let config = Config::default().close_timeout(Duration::from_millis(300));
        let client = client(&url, &notes).config(config).reconnect(false).build().unwrap();
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
        client.close();
        let start = std::time::Instant::now();
        within(client.closed()).await;
        assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
    }
}

/// 64 MB or a million frames of each kind, from a server that reads nothing meanwhile. The client's
/// memory does not grow, and it still handles messages.
#[test]
fn a_flood_fills_no_memory() {
    alone(async {
        const FLOOD: usize = 64 << 20;
        let fragments = b"\x00\x01x".repeat(20_000);
        for (name, first, again, last, rounds) in [
            ("pings", vec![], frame(0x89, &[b'x'; 125]).repeat(500), vec![], FLOOD / 63_500),
            ("pongs", vec![], frame(0x8a, &[b'x'; 125]).repeat(500), vec![], FLOOD / 63_500),
            ("text", vec![], frame(0x81, b"x").repeat(20_000), vec![], 50),
            ("long text", vec![], frame(0x81, &[b'x'; 60_000]), vec![], FLOOD / 60_000),
            ("empty fragments", vec![0x01, 0], [0x00, 0].repeat(20_000), vec![0x80, 0], 50),
            // One byte each, so that the message stays below the limit.
            ("fragments of one byte", vec![0x01, 0], fragments.clone(), vec![0x80, 0], 50),
        ] {
            let act = act(move |mut tcp| {
                let (first, again, last) = (first.clone(), again.clone(), last.clone());
                async move {
                    let answer = completed(&mut tcp, GOOD).await.unwrap();
                    tcp.write_all(&[answer.as_bytes(), &first].concat()).await.unwrap();
                    for _ in 0..rounds {
                        tcp.write_all(&again).await.unwrap();
                    }
                    let note = frame(0x81, br#"{"type":"note","data":"at last"}"#);
                    tcp.write_all(&[last, note].concat()).await.unwrap();
                    read_to_end(tcp).await;
                }
            });
            let (url, notes) = (hostile_server(1, act).await, Log::<String>::default());
            // Such a server does not answer close frames.
            let config = Config::default().close_timeout(Duration::from_millis(100));
            let client = client(&url, &notes).config(config).reconnect(false).build().unwrap();
            let before = resident_kib();
            within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
            let mut most = before;
            let received = within(async {
                loop {
                    most = most.max(resident_kib());
                    tokio::select! {
                        note = notes.next() => return note,
                        () = tokio::time::sleep(Duration::from_millis(5)) => {}
                    }
                }
            });
            assert_eq!(received.await, "at last", "{name}");
            println!("{name}: {} KiB more resident at most", most - before);
            assert!(most - before < 16 * 1024, "{name}: {} KiB more resident", most - before);
            client.close();
            within(client.closed()).await;
        }
    });
}

/// Endless fragments of one byte exceed the limit on a message at some point.
#[tokio::test]
async fn endless_fragments_are_one_message_that_is_too_long() {
    let closed = close_of(Config::default(), |mut tcp| {
        Box::pin(async move {
            let fragments = b"\x00\x01x".repeat(20_000);
            let (mut input, mut output) = tcp.split();
            let flood = async {
                let mut written = output.write_all(&frame(0x01, b"x")).await;
                while written.is_ok() {
                    written = output.write_all(&fragments).await;
                }
            };
            let mut sink = tokio::io::sink();
            let _ = tokio::join!(flood, tokio::io::copy(&mut input, &mut sink));
        })
    })
    .await;
    assert_eq!((u16::from(closed.code), closed.by), (1009, ClosedBy::Us));
}
