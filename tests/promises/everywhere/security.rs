//! `docs/SECURITY.md` has the limits of the code, and the lock files have the fixes that it names:
//! row R10 of the specification.
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpListener, time::Instant};
use wsx::{
    Backoff, CancellationToken, Client, Config, ConnectError, Hub, Rejection,
    delivery::{Mailbox, Outbox},
    server::{LabelError, OnDuplicate},
};
use wsx_tests::{
    handshake::{self, GOOD, completed, head, upgrade},
    within,
};

const DOCUMENT: &str = include_str!("../../../docs/SECURITY.md");

/// Returns the rows of all tables, cell by cell, without the marks around a name.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    DOCUMENT.lines().filter_map(|line| {
        let cells = line.strip_prefix("| ")?.strip_suffix('|')?.split('|');
        Some(cells.map(|cell| cell.trim().trim_matches('`')).collect())
    })
}

/// Returns the document's value of a limit.
fn documented(limit: &str) -> &'static str {
    let row = rows().find(|row| row[0] == limit).unwrap_or_else(|| panic!("SECURITY.md does not name {limit}"));
    row[1]
}

/// Returns a number of the document, converted from its unit: bytes, seconds, or a count.
fn number(limit: &str) -> usize {
    let text = documented(limit);
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number: usize = number.replace(',', "").parse().unwrap_or_else(|_| panic!("{limit}: {text}"));
    match unit {
        "" | "s" => number,
        "KiB" => number << 10,
        "MiB" => number << 20,
        unit => panic!("{limit}: an unknown unit {unit}"),
    }
}

fn seconds(limit: &str) -> Duration {
    assert!(documented(limit).ends_with(" s"), "{limit}: {}", documented(limit));
    Duration::from_secs(number(limit) as u64)
}

#[test]
fn the_document_names_the_default_of_every_limit() {
    // Each field by its name. A new field needs a line here and in the document before this test
    // passes.
    let config = format!("{:?}", Config::default());
    let documented_fields = rows().filter(|row| row[0].starts_with("Config::")).count();
    assert_eq!(config.matches(": ").count(), documented_fields, "SECURITY.md does not have every field of {config}");
    let config = Config::default();
    assert_eq!(number("Config::max_message_size"), config.max_message_size);
    assert_eq!(number("Config::queue_messages"), config.queue_messages);
    assert_eq!(number("Config::queue_bytes"), config.queue_bytes);
    assert_eq!(number("Config::backlog_messages"), config.backlog_messages);
    assert_eq!(number("Config::backlog_bytes"), config.backlog_bytes);
    assert_eq!(seconds("Config::request_timeout"), config.request_timeout);
    assert_eq!(number("Config::max_requests"), config.max_requests);
    assert_eq!(number("Config::asking_backlog_bytes"), config.asking_backlog_bytes);
    assert_eq!((documented("Config::report_failures"), config.report_failures), ("off", false));
    assert_eq!(seconds("Config::lag_timeout"), config.lag_timeout);
    assert_eq!(seconds("Config::write_timeout"), config.write_timeout);
    assert_eq!(seconds("Config::close_timeout"), config.close_timeout);
    assert_eq!(seconds("Config::handshake_timeout"), config.handshake_timeout);
    assert_eq!((documented("Config::heartbeat"), config.heartbeat), ("off", None));
    assert_eq!((documented("Config::tcp_user_timeout"), config.tcp_user_timeout), ("the system's", None));
    assert_eq!((documented("Config::tcp_keepalive"), config.tcp_keepalive), ("off", None));
    assert_eq!((documented("Config::receive_limit"), config.receive_limit), ("off", None));
    let backoff = Backoff::default();
    assert_eq!(documented("Backoff::initial"), format!("{:?}", backoff.initial).replace("ms", " ms"));
    assert_eq!(seconds("Backoff::max"), backoff.max);
    assert_eq!(seconds("Backoff::stable_after"), backoff.stable_after);
    let builder = format!("{:?}", Hub::builder());
    assert_eq!(documented("HubBuilder::max_queued_bytes"), "none");
    assert_eq!(documented("HubBuilder::max_connections_per_address"), "none");
    assert_eq!(documented("HubBuilder::max_connections_per_second"), "none");
    assert_eq!(documented("HubBuilder::require"), "none");
    let limits = format!(
        "Limits {{ connections: {}, connections_per_address: {}, handshakes: {}, queued_bytes: None, per_second: None, version: None }}",
        number("HubBuilder::max_connections"),
        usize::MAX,
        number("HubBuilder::max_handshakes")
    );
    assert!(builder.contains(&limits), "{limits} is not in {builder}");
    assert_eq!(documented("HubBuilder::on_duplicate"), format!("{:?}", OnDuplicate::default()));
    let (replacements, window) = documented("HubBuilder::contested_after").split_once(" in ").expect("a rate");
    let duplicates = format!(
        "DuplicateOptions {{ rejects_new: false, replacements: {replacements}, window: {} }}",
        window.replace(' ', "")
    );
    assert!(builder.contains(&duplicates), "{duplicates} is not in {builder}");
    let presence = format!(
        "PresenceOptions {{ grace: {}, max_absent: {} }}",
        documented("HubBuilder::presence_grace").replace(" s", "ns"),
        number("HubBuilder::max_absent")
    );
    assert!(builder.contains(&presence), "{presence} is not in {builder}");
}

/// Row G15: the bounds of an outbox and of a mailbox are those of the document.
#[test]
fn the_document_names_the_bounds_of_kept_messages() {
    let bounds = |per_peer: &str, own: &str| {
        format!(
            "Bounds {{ messages_per_peer: {}, bytes_per_peer: {}, messages: {}, bytes: {} }}",
            number(&format!("{per_peer}::messages{own}")),
            number(&format!("{per_peer}::bytes{own}")),
            number(&format!("{per_peer}::messages")),
            number(&format!("{per_peer}::bytes")),
        )
    };
    for (shown, bounds) in [
        (format!("{:?}", Outbox::new()), bounds("Outbox", "")),
        (format!("{:?}", Mailbox::new()), bounds("Mailbox", "_per_peer")),
    ] {
        assert!(shown.contains(&bounds), "{bounds} is not in {shown}");
    }
}

/// Returns the value of a constant in a file of wsx, such as `4096` or `64 << 20`. Durations are in
/// milliseconds.
fn constant(file: &str, name: &str) -> usize {
    let declared = file.lines().find_map(|line| line.split_once(&format!("const {name}: "))?.1.split_once(" = "));
    let (_, value) = declared.unwrap_or_else(|| panic!("{name} is not there"));
    let value = value.trim_end_matches(';');
    let of = |text: &str| -> usize { text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name}: {text}")) };
    let within = |call: &str| value.strip_prefix(call)?.strip_suffix(')').map(of);
    match (within("Duration::from_secs("), within("Duration::from_millis("), value.split_once(" << ")) {
        (Some(seconds), ..) => seconds * 1000,
        (_, Some(milliseconds), _) => milliseconds,
        (.., Some((factor, shift))) => of(factor) << of(shift),
        _ => of(value),
    }
}

/// Returns the packets and the bytes of a constant such as `Most { packets: 4_096, bytes: 16 << 20
/// }`.
fn packets_and_bytes(file: &str, name: &str) -> [usize; 2] {
    let start = file.find(&format!("const {name}: ")).unwrap_or_else(|| panic!("{name} is not there"));
    let line = file[start..].lines().next().unwrap_or_default();
    ["packets: ", "bytes: "].map(|field| {
        let (_, rest) = line.split_once(field).unwrap_or_else(|| panic!("{line}"));
        let value = rest.split([',', '}']).next().unwrap_or_default().trim();
        constant(&format!("const IT: usize = {value};"), "IT")
    })
}

/// Row J11: the bounds of a cluster are those of the document. The code has them as constants,
/// which this test reads, because it is built without NATS.
#[test]
fn the_document_names_the_bounds_of_a_cluster() {
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!("../../../wsx/src/", $name))
        };
    }
    let (module, joined) = (file!("cluster/mod.rs"), file!("cluster/joined.rs"));
    let (peers, node) = (file!("cluster/peers.rs"), file!("cluster/node.rs"));
    let (calls, link) = (file!("cluster/calls.rs"), file!("cluster/nats/link.rs"));
    let (events, pace) = (file!("cluster/events.rs"), file!("cluster/nats/pace.rs"));
    let (dial, types) = (file!("cluster/nats/dial.rs"), file!("server/local/types.rs"));
    for (limit, file, name) in [
        ("time for the confirmation of a send or a close", module, "CONFIRMED"),
        ("time after NATS came up, in which an unknown id is waited for", joined, "GRACE"),
        ("silence of another node", peers, "SILENCE"),
        ("standstill of this node, after which it does not lose others", node, "STALL"),
        ("time for the boxes of another node", peers, "RETRY"),
        ("time for another node to take a part of the boxes", node, "PART"),
        ("time for a NATS server to accept the connection", dial, "SERVER"),
        ("time for the proof that packets come back", dial, "PROOF"),
    ] {
        assert_eq!(seconds(limit), Duration::from_millis(constant(file, name) as u64), "{limit}");
    }
    let wait = format!("{} ms", constant(joined, "WAIT"));
    assert_eq!(documented("time for which a broadcast waits for the other nodes"), wait);
    for (limit, file, name) in [
        ("nodes that fetch the boxes of a node at a time", node, "MAX_FETCHES"),
        ("length of a packet with boxes", node, "MAX_PACKET"),
        ("parts in which the boxes of a node come", peers, "MAX_PARTS"),
        ("changes of boxes that are not published yet", file!("cluster/directory.rs"), "MAX_PENDING"),
        ("changes of another node that wait for its boxes", peers, "MAX_WAITING"),
        ("lost nodes whose broadcasts are still counted", peers, "MAX_LOST"),
        ("sends and requests of other nodes that wait at a node", calls, "MAX_CALLS"),
        ("bytes of these sends and requests", calls, "MAX_BYTES"),
        ("broadcasts of other nodes that wait at a node", joined, "BROADCASTS"),
        ("bytes of these broadcasts", joined, "BROADCAST_BYTES"),
        ("other nodes", peers, "MAX_NODES"),
        ("length of the name of a node", node, "LONGEST_NAME"),
        ("sends, requests and closes without an answer", link, "OPEN_QUESTIONS"),
        ("packets for all nodes in 5 ms, of a node", pace, "PACKETS"),
        ("bytes of the packets in 5 ms", pace, "BYTES"),
        ("length of a packet, whatever NATS allows", link, "LONGEST_PAYLOAD"),
        ("types of messages of other nodes that are counted by name", types, "MAX_TYPES"),
        ("length of such a type", types, "MAX_LENGTH"),
        ("length of a namespace", file!("cluster/nats/options.rs"), "LONGEST_NAMESPACE"),
    ] {
        assert_eq!(number(limit), constant(file, name), "{limit}");
    }
    assert_eq!(constant(pace, "WINDOW"), 5);
    for (packets, bytes, file, name) in [
        ("packets for all nodes that wait to be sent", "bytes of the packets for all nodes", link, "PUBLISHED"),
        ("sends, requests and closes that wait to be sent", "bytes of these that wait to be sent", link, "ASKED"),
        ("answers that wait to be sent", "bytes of these answers", link, "ANSWERED"),
        ("notices to one node that wait to be sent", "bytes of these notices", link, "TOLD"),
        ("packets for all nodes that wait for this node", "bytes of these packets for all nodes", events, "PUBLISHED"),
        (
            "packets for this node alone that wait for it",
            "bytes of these packets for this node alone",
            events,
            "DIRECT",
        ),
    ] {
        assert_eq!([number(packets), number(bytes)], packets_and_bytes(file, name), "{packets}");
    }
}

#[tokio::test]
async fn a_connection_has_exactly_the_labels_of_the_document() {
    let (most, longest) = (number("labels of a connection"), number("length of a label"));
    let hub = Hub::builder().without_handlers().build().unwrap();
    let handler = hub.ws_handler(|_| async { Ok::<_, Rejection>("box") }, |_| {});
    let (mut near, far) = tokio::io::duplex(4096);
    near.write_all(upgrade("/", "").as_bytes()).await.unwrap();
    within(handler.serve_connection(far, None)).await.unwrap();
    let label = |length: usize| hub.add_label("box", &"x".repeat(length));
    assert_eq!(label(longest + 1), Err(LabelError::TooLong { bytes: longest + 1, maximum: longest }));
    for n in 0..most {
        assert_eq!(label(longest - n), Ok(()));
    }
    assert_eq!(label(longest - most), Err(LabelError::TooMany { maximum: most }));
}

/// A longer id is forgotten at once, and its end is still reported.
#[tokio::test]
async fn an_absent_id_has_at_most_the_length_of_the_document() {
    let longest = number("length of an absent id that is remembered");
    let hub = Hub::builder().without_handlers().build().unwrap();
    for (length, known) in [(longest, 1), (longest + 1, 1)] {
        let handler = hub.ws_handler(move |_| async move { Ok::<_, Rejection>("x".repeat(length)) }, |_| {});
        let (mut near, far) = tokio::io::duplex(4096);
        near.write_all(upgrade("/", "").as_bytes()).await.unwrap();
        let conn = within(handler.serve_connection(far, None)).await.unwrap();
        drop(near);
        within(conn.closed()).await;
        assert_eq!(hub.presence().snapshot().len(), known);
    }
}

/// Returns the status of the answer to a request with an HTTP head of this length and this many
/// headers.
async fn status(length: usize, headers: usize) -> u16 {
    let hub = Hub::builder().without_handlers().build().unwrap();
    let handler = hub.ws_handler(wsx::unique_id, |_| {});
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let request =
        |filler: usize| upgrade("/", &format!("{}X: {}\r\n", "X: y\r\n".repeat(headers - 6), "x".repeat(filler)));
    let filler = length.saturating_sub(request(0).len());
    let request = request(filler);
    assert!(request.len() == length || filler == 0);
    near.write_all(request.as_bytes()).await.unwrap();
    let _ = within(handler.serve_connection(far, None)).await;
    handshake::status(&head(&mut near).await)
}

#[tokio::test(start_paused = true)]
async fn a_request_has_exactly_the_limits_of_the_document() {
    let (head, headers) = (number("head of a request"), number("headers of a request"));
    assert_eq!(status(head, 6).await, 101);
    assert_eq!(status(head + 1, 6).await, 431);
    assert_eq!(status(0, headers).await, 101);
    assert_eq!(status(0, headers + 1).await, 431);
}

#[tokio::test]
async fn an_answer_has_exactly_the_limit_of_the_document() {
    let longest = number("head of an answer to a client");
    for length in [longest, longest + 1] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let answer = completed(&mut tcp, GOOD).await.unwrap();
            let (end, header) = ("\r\n\r\n", "\r\nX: ");
            let padding = "x".repeat(length - answer.len() - header.len());
            let answer = answer.replace(end, &format!("{header}{padding}{end}"));
            assert_eq!(answer.len(), length);
            let _ = tcp.write_all(answer.as_bytes()).await;
            let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
        });
        let client = Client::builder(url).reconnect(false).build().unwrap();
        let connected = within(client.connect(CancellationToken::new(), |_| {})).await;
        match connected {
            Ok(_) => assert_eq!(length, longest),
            Err(ConnectError::Handshake(_)) => assert_eq!(length, longest + 1),
            Err(error) => panic!("{length}: {error:?}"),
        }
    }
}

/// On the paused clock, whose timers round up to the next millisecond.
fn assert_took(since: Instant, limit: &str) {
    let (took, limit) = (since.elapsed(), seconds(limit));
    assert!(took >= limit && took < limit + Duration::from_millis(5), "{took:?} instead of {limit:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stays_is_dropped_when_the_document_says() {
    let hub = Hub::builder().without_handlers().build().unwrap();
    let handler = hub.ws_handler(wsx::unique_id, |_| {});
    let (mut near, far) = tokio::io::duplex(1024);
    near.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
    let start = Instant::now();
    handler.serve_connection(far, None).await.unwrap_err();
    assert_took(start, "time for a rejected peer to read its answer");

    let (near, far) = tokio::io::duplex(1024);
    let opening = tokio::spawn(async move { handler.serve_connection(far, None).await });
    let (mut ws, _) = tokio_tungstenite::client_async("ws://a/ws", near).await.unwrap();
    let conn = opening.await.unwrap().unwrap();
    let start = Instant::now();
    // An incomplete close code is an error, and this peer does not hang up after it.
    ws.get_mut().write_all(b"\x88\x81\0\0\0\0x").await.unwrap();
    conn.closed().await;
    assert_took(start, "time for the socket to linger after a close");
}

#[test]
fn a_payload_is_as_deep_as_the_document_says() {
    let deepest = number("nesting of a payload's JSON");
    for (depth, fits) in [(deepest, true), (deepest + 1, false)] {
        let text = format!(r#"{{"type":"a","data":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(wsx::Envelope::<serde_json::Value>::parse(&text).is_ok(), fits, "{depth}");
    }
}

#[test]
fn the_id_of_a_request_is_as_long_as_the_document_says() {
    let longest = number("length of the id of a request");
    for (length, fits) in [(longest, true), (longest + 1, false)] {
        let text = format!(r#"{{"type":"a","id":"{}"}}"#, "x".repeat(length));
        assert_eq!(wsx::Envelope::<serde_json::Value>::parse(&text).is_ok(), fits, "{length}");
    }
}

/// Returns the numbers of a version.
fn version(text: &str) -> Vec<u32> {
    text.split(['.', '-', '+']).map_while(|number| number.parse().ok()).collect()
}

/// Whether Cargo may use one version for the other: their numbers up to the first that is not 0 are
/// equal.
fn is_compatible(one: &[u32], other: &[u32]) -> bool {
    let leading = one.iter().take_while(|&&number| number == 0).count();
    one.get(..=leading) == other.get(..=leading)
}

#[test]
fn the_lock_files_hold_the_fixes_that_the_document_names() {
    let wanted: Vec<_> = rows().filter(|row| row.get(2).is_some_and(|why| why.starts_with("RUSTSEC"))).collect();
    assert!(wanted.len() >= 5, "the table has another form: {wanted:?}");
    for (file, lock) in
        [("Cargo.lock", include_str!("../../../Cargo.lock")), ("fuzz", include_str!("../../fuzz/Cargo.lock"))]
    {
        let mut found = 0;
        for package in lock.split("[[package]]") {
            let field = |name: &str| package.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix('"'));
            let (Some(name), Some(given)) = (field("name = \""), field("version = \"")) else { continue };
            for row in wanted.iter().filter(|row| row[0] == name) {
                let (given, least) = (version(given), version(row[1]));
                // An older version line of a crate, which a tool of the tests may use, has fixes
                // with numbers of its own.
                found += usize::from(given >= least);
                assert!(given >= least || !is_compatible(&least, &given), "{file}: {name} {given:?}: {}", row[2]);
            }
        }
        assert!(found >= 4, "{file}: has only {found} of the document's crates");
    }
}
