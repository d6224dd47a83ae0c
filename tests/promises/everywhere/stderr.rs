//! What `StderrObserver` prints, and where it cannot print: row X9 of the specification.
//!
//! Each test starts its own program once more, because standard error belongs to a process.
use serde_json::json;
use std::{
    env,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use wsx::{
    CancellationToken, Client, Hub, Identity, Observer, Rejection, StderrObserver,
    delivery::{Change, Mailbox, Store, StoreError},
    http::{StatusCode, request::Parts},
};
use wsx_tests::{Peer, Server, cluster_events, query_id, round_trip, within};

/// The environment variable of the process that prints.
const CHILD: &str = "WSX_TEST_PRINTS";
/// Text with which a peer would end a line, begin another one, and paint the terminal.
const HOSTILE: &str = "a\nwsx: forged\r\u{1b}[2J\u{2028}\u{202e}";
/// Part of each text that must not be printed.
const SECRET: &str = "s3cret";

/// Starts this test once more, as a process whose standard error the caller chooses.
fn child(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the system knows the path of the running program"));
    command.args(["--exact", test, "--nocapture"]).env(CHILD, test).stdout(Stdio::piped());
    command
}

fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Makes a problem of each kind, with hostile text wherever a peer can put it.
#[tokio::main]
async fn make_problems() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let fails = |text: String, _| async move { Err::<(), _>(text) };
    let number = |_: u8, _| async {};
    let echo = |text: String, _| async move { wsx::Envelope::with_type("echo", text) };
    let hub = Hub::builder().observer(StderrObserver).on("fails", fails).on("number", number).on("echo", echo);
    let hub = hub.build().expect("the handlers fit together");
    let build_id = |request: Parts| async move {
        match query_id(request).await?.as_str() {
            "rejected" => Err(Rejection::new(StatusCode::FORBIDDEN, HOSTILE)),
            id => Ok(Identity::new(format!("ws://box:{SECRET}@{id}/ws?token={SECRET}\n{HOSTILE}"))),
        }
    };
    let upgrade = hub.ws_handler(build_id, |_| {});
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    Peer::try_connect(&server.url("rejected")).await.expect_err("it is rejected");

    let mut peer = server.peer("box-7").await;
    let long = HOSTILE.repeat(10_000);
    for text in [HOSTILE, &long] {
        peer.send_envelope(text, json!(null)).await;
        peer.send_envelope("fails", json!(text)).await;
        peer.send_envelope("number", json!(text)).await;
        peer.send_envelope("number", json!({ text: text })).await;
        peer.send(json!({ text: text }).to_string()).await;
        peer.send(text).await;
    }
    // No problem has ended the connection.
    peer.send_envelope("echo", json!("still here")).await;
    assert_eq!(peer.receive_data().await, ("echo".to_owned(), json!("still here")));
    let reason = HOSTILE.into();
    peer.send(Message::Close(Some(CloseFrame { code: 4001.into(), reason }))).await;
    peer.close().await;

    // A name that does not exist would ask a resolver.
    let url = format!("ws://127.0.0.1:1/ws?token={SECRET}");
    let client = Client::builder(url).observer(StderrObserver).give_up(|_| true).build();
    let client = client.expect("the URL is right");
    within(client.start(CancellationToken::new())).await.expect_err("nothing listens there");
    let url = format!("ws://{}/ws?id=client&token={SECRET}", server.address);
    let client = Client::builder(url).observer(StderrObserver).reconnect(false).build();
    let client = client.expect("the URL is right");
    let client = within(client.start(CancellationToken::new())).await.expect("the server is there");
    let conn = client.connection().expect("it is connected");
    round_trip(&conn).await;
    conn.close_with(wsx::CloseCode::POLICY_VIOLATION, HOSTILE);
    within(client.closed()).await;
    server.stop().await;
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "code of the observer panicked");
    println!("every problem was made");
}

/// Row X9: each problem is one line without control characters, bounded, and without the secrets of
/// a URL.
#[test]
fn a_problem_is_one_line_whatever_the_peer_says() {
    if is_child() {
        return make_problems();
    }
    let mut command = child("stderr::a_problem_is_one_line_whatever_the_peer_says");
    let output = command.stderr(Stdio::piped()).output().expect("the test program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8(output.stderr));
    let stderr = stderr.expect("it prints UTF-8");
    assert!(output.status.success() && stdout.contains("every problem was made"), "{stdout}\n{stderr}");
    let lines: Vec<_> = stderr.split_terminator('\n').collect();
    for line in &lines {
        assert!(line.starts_with("wsx: ") && !line.starts_with("wsx: forged"), "{line:?}");
        assert!(!line.contains(|c: char| c.is_control() || "\u{2028}\u{202e}".contains(c)), "{line:?}");
        assert!(!line.contains(SECRET), "{line:?}");
        // The id, the type, the error and its cause.
        assert!(line.len() < 4 * 256 + 100, "{} bytes: {line:?}", line.len());
    }
    for (text, count) in [
        ("handshake rejected with 403 Forbidden: a\\nwsx: forged", 1),
        ("no handler for \"a\\nwsx: forged", 2),
        ("\"fails\": the handler failed: a\\nwsx: forged", 2),
        ("\"number\": the data does not fit u8 at `.`: invalid type: string", 2),
        ("\"number\": the data does not fit u8 at `.`: invalid type: map", 2),
        ("a message is not an envelope", 4),
        ("\"ws://…@box-7/ws?…\\na\\nwsx: forged", 13),
        ("closed by the peer with 4001 (\"a\\nwsx: forged", 1),
        ("gave up: cannot reach 127.0.0.1:1: ", 1),
        ("closed by us with 1008 (\"a\\nwsx: forged", 1),
        ("closed by the peer with 1008 (\"a\\nwsx: forged", 1),
    ] {
        assert_eq!(lines.iter().filter(|line| line.contains(text)).count(), count, "{text}: {stderr}");
    }
    assert_eq!(lines.len(), 17, "{stderr}");
}

/// A message that is kept.
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "1ms")]
struct Brief {
    n: u32,
}

/// A store on a disk that is full.
struct Full;

impl Store for Full {
    fn load(&mut self, _: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        Ok(())
    }
    fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
        Err(StoreError::other(format!("the disk is full{HOSTILE}")))
    }
}

/// Makes each problem of delivery.
#[tokio::main]
async fn make_problems_of_delivery() {
    let hub = Hub::builder().without_handlers().observer(StderrObserver).build().expect("nothing can be wrong");
    let server = Server::start(hub).await;
    let delivering = server.hub.deliver("box-7", &Brief { n: 1 });
    within(delivering).await.expect_err("it expires");
    let mut peer = server.peer("box-7").await;
    let begin = peer.receive().await["seq"].clone();
    let ack = |seq: u64, code: &str| {
        let failed = json!([{"seq": seq, "code": code, "message": HOSTILE}]);
        json!({"type": "delivery", "ack": {"epoch": begin["epoch"], "seq": seq, "failed": failed}}).to_string()
    };
    peer.send(ack(0, "none")).await;
    let skip = peer.receive().await["seq"]["skip"].clone();
    // It has no time to expire on the way.
    let (message, delivering) = loop {
        let delivering = server.hub.deliver("box-7", &Brief { n: 2 });
        let envelope = peer.receive().await;
        if envelope["data"]["n"] == 2 {
            break (envelope, delivering);
        }
    };
    assert!(skip[0].as_u64() < message["seq"].as_u64());
    peer.send(ack(message["seq"].as_u64().expect("a number"), HOSTILE)).await;
    within(delivering).await.expect_err("it has failed");
    let gap = json!({"type": "delivery", "seq": {"epoch": HOSTILE, "first": 1, "last": 5}});
    peer.send(gap.to_string()).await;
    peer.receive().await;
    let gap = json!({"type": "delivery", "seq": {"epoch": HOSTILE, "skip": [1, 5], "why": HOSTILE}});
    peer.send(gap.to_string()).await;
    peer.receive().await;
    within(server.hub.send_to("box-8", &Brief { n: 4 })).await.expect("it has room");
    assert_eq!(server.hub.drop_waiting("box-8"), 1);
    server.stop().await;

    let mailbox = Mailbox::new().store(Full);
    let hub = Hub::builder().without_handlers().observer(StderrObserver).mailbox(mailbox);
    let hub = hub.build().expect("the store can be read");
    within(hub.send_to("box-7", &Brief { n: 3 })).await.expect_err("the disk is full");
    drop(hub);
    println!("every problem was made");
}

/// Rows G18 and X9: each problem of delivery is one line.
#[test]
fn problems_of_delivery_are_printed() {
    if is_child() {
        return make_problems_of_delivery();
    }
    let mut command = child("stderr::problems_of_delivery_are_printed");
    let output = command.stderr(Stdio::piped()).output().expect("the test program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("every problem was made"), "{stdout}\n{stderr}");
    assert!(stderr.lines().all(|line| line.starts_with("wsx: ") && !line.starts_with("wsx: forged")), "{stderr}");
    for text in [
        "wsx: \"box-7\": \"brief\": the message has expired",
        "wsx: \"box-8\": \"brief\": the message was dropped",
        "wsx: \"box-7\": this end does not send the messages ",
        "wsx: \"box-7\": the peer does not send the messages 1 to 5: unknown",
        "wsx: \"box-7\": \"brief\": the peer did not handle it: a\\nwsx: forged",
        "wsx: the disk is fulla\\nwsx: forged",
    ] {
        assert!(stderr.lines().any(|line| line.starts_with(text)), "{text}: {stderr}");
    }
}

/// Rows J9, X9: each event of a cluster is one line, bounded, whatever another node says.
#[test]
fn the_events_of_a_cluster_are_printed() {
    if is_child() {
        for text in [HOSTILE, &HOSTILE.repeat(10_000)] {
            cluster_events(text).iter().for_each(|event| StderrObserver.cluster_changed(event));
        }
        return;
    }
    let mut command = child("stderr::the_events_of_a_cluster_are_printed");
    let output = command.stderr(Stdio::piped()).output().expect("the test program starts");
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).expect("it prints UTF-8");
    let lines: Vec<_> = stderr.split_terminator('\n').collect();
    assert_eq!(lines.len(), 16, "{stderr}");
    for (line, text) in lines.iter().zip(
        [
            "NATS can be reached",
            "NATS cannot be reached: a\\nwsx: forged",
            "node \"a\\nwsx: forged",
            "node \"a\\nwsx: forged",
            "node \"a\\nwsx: forged",
            "7 broadcasts of node \"a\\nwsx: forged",
            "3 broadcasts did not leave for the other nodes",
            "a packet cannot be read: a\\nwsx: forged",
        ]
        .iter()
        .cycle(),
    ) {
        assert!(line.starts_with(&format!("wsx: cluster: {text}")), "{text}: {line}");
        assert!(!line.contains(|c: char| c.is_control() || "\u{2028}\u{202e}".contains(c)), "{line:?}");
        assert!(line.len() < 4096, "{} bytes", line.len());
    }
}

/// Row X9: without standard error, with a pipe whose reader has gone, and with one on a full disk,
/// the problems are not printed, and nothing else happens.
#[test]
fn a_standard_error_that_cannot_be_written_ends_nothing() {
    if is_child() {
        return make_problems();
    }
    let test = "stderr::a_standard_error_that_cannot_be_written_ends_nothing";
    let program = child(test);
    for redirect in ["2>&-", "2>/dev/full"] {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec \"$0\" \"$@\" {redirect}")])
            .arg(program.get_program())
            .args(program.get_args());
        let output = shell.env(CHILD, test).output().expect("a shell starts");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("every problem was made"), "{redirect}: {stdout}");
    }
    let mut process = child(test).stderr(Stdio::piped()).spawn().expect("the test program starts");
    drop(process.stderr.take());
    let output = process.wait_with_output().expect("it ends");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("every problem was made"), "a broken pipe: {stdout}");
}
