//! The example programs run: row D1 of the specification.
//!
//! A test of the package of the examples, so that cargo builds them for it.
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;
use wsx_tests::{Peer, within};

/// An example that runs. It ends when the test ends.
struct Running(Child);

impl Running {
    /// Starts an example. Returns its first line.
    fn start(path: &str, arguments: &[&str]) -> (Self, String) {
        let mut command = Command::new(path);
        let command = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Self(command.spawn().expect("it was built"));
        let mut line = String::new();
        // Not closed, because an example may print more lines later.
        let stdout = running.0.stdout.as_mut().expect("piped above");
        BufReader::new(stdout).read_line(&mut line).expect("it prints UTF-8");
        (running, line.trim_end().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the numbers in the last line that a program has printed, and the line.
fn last_line<const N: usize>(said: &str) -> ([u32; N], &str) {
    let last = said.lines().last().unwrap_or_default();
    let numbers: Vec<u32> =
        last.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).flat_map(str::parse).collect();
    let Ok(numbers) = numbers.try_into() else { panic!("{N} numbers in the last line: {said}") };
    (numbers, last)
}

/// Reads the last line of the fleet: received, lost, reconnected, asked, answered.
fn counts(said: &str) -> [u32; 5] {
    let (counts, last) = last_line(said);
    let [received, lost, reconnected, asked, answered] = counts;
    let expected =
        format!("received {received}, lost {lost}, reconnected {reconnected}, asked {asked}, answered {answered}");
    assert_eq!(last, expected);
    counts
}

/// Rows D1, A1: a server and three boxes talk for six seconds. The server restarts meanwhile. The
/// last line says that nothing was lost, that each box has reconnected, and that each request
/// got its reply.
#[test]
fn the_fleet_loses_nothing_when_its_server_restarts() {
    let output = Command::new(env!("CARGO_BIN_EXE_fleet")).args(["--for", "6s"]).output().expect("it was built");
    let said = String::from_utf8(output.stdout).expect("it prints UTF-8");
    let [received, lost, reconnected, asked, answered] = counts(&said);
    assert!(received > 0 && lost == 0 && reconnected >= 3, "{said}");
    assert!(asked >= 3 && answered == asked, "{said}");
    assert!(output.status.success(), "{}", output.status);
}

/// Row Z1: both ends of the fleet compress, and the last line shows what that saves.
#[test]
fn the_fleet_shows_what_compression_saves() {
    let arguments = ["--compress", "--for", "3s"];
    let output = Command::new(env!("CARGO_BIN_EXE_fleet")).args(arguments).output().expect("it was built");
    let said = String::from_utf8(output.stdout).expect("it prints UTF-8");
    let ([received, lost, .., plain, wire, percent], last) = last_line::<8>(&said);
    let expected = format!(", compressed {plain} bytes to {wire} ({percent} %)");
    assert!(last.ends_with(&expected), "{said}");
    assert!(received > 0 && lost == 0, "{said}");
    // A message of a box has more than 100 bytes. Only its numbers differ from those before it.
    assert!(plain > 100 * received && 0 < wire && wire < plain / 2 && percent == wire * 100 / plain, "{said}");
    assert!(output.status.success(), "{}", output.status);
}

/// Row D1: programs are killed and links are cut for ten seconds. Every message that was accepted
/// is handled once, in both directions.
#[test]
fn the_fleet_loses_nothing_when_plugs_are_pulled() {
    let arguments = ["--pull-the-plug", "--for", "10s", "--seed", "16"];
    let output = Command::new(env!("CARGO_BIN_EXE_fleet")).args(arguments).output().expect("it was built");
    let said = String::from_utf8(output.stdout).expect("it prints UTF-8");
    let ([accepted, ..], last) = last_line::<5>(&said);
    let expected = format!("accepted {accepted}, handled {accepted}, lost 0, handled twice 0, expired 0");
    assert_eq!(last, expected, "{said}");
    assert!(accepted > 100 && said.contains("office is killed") && said.contains("meter-1 is killed"), "{said}");
    assert!(output.status.success(), "{}", output.status);
}

/// Row D1: the fleet's server shows which box did not report its health.
#[tokio::test]
async fn the_fleet_shows_a_box_that_does_not_reply() {
    let arguments = ["server", "--listen", "127.0.0.1:0", "--for", "3s"];
    let (mut server, line) = Running::start(env!("CARGO_BIN_EXE_fleet"), &arguments);
    let url = line.strip_prefix("server: listening on ").expect("it prints its address");
    let mut peer = Peer::connect(&format!("{url}?id=north-1")).await;
    let stdout = server.0.stdout.take().expect("piped above");
    let said = spawn_blocking(|| std::io::read_to_string(stdout).expect("it prints UTF-8"));
    while let Some(Ok(message)) = peer.next().await {
        let Ok(text) = message.to_text() else { continue };
        let asked: Value = serde_json::from_str(text).unwrap_or_default();
        let reply = match asked["type"].as_str() {
            Some("check_health") => json!({"type": "health", "re": asked["id"], "err": {"code": "busy"}}),
            Some("set_rate") => json!({"type": "rate_set", "re": asked["id"], "data": {"before": 7}}),
            _ => continue,
        };
        peer.send(reply.to_string()).await;
    }
    let said = said.await.unwrap();
    let [.., asked, answered] = counts(&said);
    assert!(answered >= 1 && asked > answered, "{said}");
    assert!(said.contains("server: north-1 did not report its health: the peer is busy"), "{said}");
    assert!(said.contains("server: changed the rate of north-1 from 7 to 10 samples per second"), "{said}");
    assert!(server.0.wait().unwrap().success());
}

/// Returns an envelope without the keys that every envelope has.
fn keys(mut envelope: Value) -> Value {
    let keys = envelope.as_object_mut().expect("an envelope is an object");
    keys.remove("ver").zip(keys.remove("ts")).expect("an envelope has them");
    envelope
}

/// Rows D1, Q1, Q4: `answers` replies to requests and to plain messages, fails, and asks back. It
/// stops as `echo` does.
#[tokio::test]
async fn answers_replies_fails_and_asks_back() {
    let (mut program, line) = Running::start(env!("CARGO_BIN_EXE_answers"), &["--listen", "127.0.0.1:0"]);
    let url = line.strip_prefix("listening on ").expect("it prints its address");
    let mut peer = Peer::connect(url).await;
    for (message_type, data, outcome) in [
        ("add", json!({"a": 2, "b": -44}), json!({"type": "sum", "data": {"sum": -42}})),
        ("add", json!({"a": i64::MAX, "b": i64::MAX}), json!({"type": "sum", "data": {"sum": u64::MAX - 1}})),
        ("wait", json!({"ms": 1}), json!({"type": "waited", "data": {"ms": 1}})),
        ("ask_back", json!({"depth": 0}), json!({"type": "asked", "data": {"depth": 0}})),
        ("fail", json!({}), json!({"type": "fail", "err": {"code": "failed", "message": "asked to fail"}})),
    ] {
        let mut expected = outcome;
        if expected["err"].is_null() {
            peer.send_envelope(message_type, data.clone()).await;
            assert_eq!(keys(peer.receive().await), expected);
        }
        peer.send(json!({"type": message_type, "id": "7", "data": data}).to_string()).await;
        expected["re"] = "7".into();
        assert_eq!(keys(peer.receive().await), expected);
    }
    let failure = json!({"code": "failed", "message": "the peer's handler failed: no"});
    for (key, ours, expected) in [
        ("data", json!({"depth": 1}), json!({"type": "asked", "re": 8, "data": {"depth": 2}})),
        ("err", json!({"code": "failed", "message": "no"}), json!({"type": "ask_back", "re": 8, "err": failure})),
    ] {
        peer.send(json!({"type": "ask_back", "id": 8, "data": {"depth": 2}}).to_string()).await;
        let asked = peer.receive().await;
        assert_eq!([&asked["type"], &asked["data"]], [&json!("ask_back"), &json!({"depth": 1})]);
        peer.send(json!({"type": "asked", "re": asked["id"], key: ours}).to_string()).await;
        assert_eq!(keys(peer.receive().await), expected);
    }
    let mut other = Peer::connect(url).await;
    peer.send(json!({"type": "panic", "id": 9, "data": {}}).to_string()).await;
    assert_eq!(peer.close().await.0, 1011);
    kill(Pid::from_raw(program.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(other.close().await.0, 1001);
    assert!(within(spawn_blocking(move || program.0.wait())).await.unwrap().unwrap().success());
}

/// Rows D1, Q3: the route waits for the reply of the box. Each failure has its HTTP status.
#[tokio::test]
async fn the_rest_route_answers_with_the_reply_of_the_box() {
    let (_program, line) = Running::start(env!("CARGO_BIN_EXE_reboot_axum"), &["127.0.0.1:0"]);
    let address = line.strip_prefix("listening on ").expect("it prints its address").to_owned();
    let url = format!("ws://{address}/ws?id=box-7");
    let post = || {
        let address = address.clone();
        spawn_blocking(move || http(&address, "POST /devices/box-7/reboot"))
    };
    let missing = post().await.unwrap();
    assert!(missing.starts_with("HTTP/1.1 404 ") && missing.ends_with("no such connection: \"box-7\"\n"), "{missing}");
    let mut peer = Peer::connect(&url).await;
    for (key, ours, status, body) in [
        ("data", json!({"uptime_s": 86400}), 200, "{\"uptime_s\":86400}"),
        ("data", json!({"uptime_s": "long"}), 502, "the reply does not fit: "),
        ("err", json!({"code": "failed", "message": "a film is playing"}), 502, "a film is playing"),
        ("err", json!({"code": "busy"}), 503, "busy"),
        ("err", json!({"code": "expired"}), 504, "in time"),
    ] {
        let answer = post();
        let asked = peer.receive().await;
        assert_eq!([&asked["type"], &asked["ttl"]], [&json!("reboot"), &json!(5000)]);
        peer.send(json!({"type": "rebooted", "re": asked["id"], key: ours}).to_string()).await;
        let answer = answer.await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(body), "{answer}");
    }
    let answer = post();
    peer.receive().await;
    drop(peer);
    assert!(answer.await.unwrap().starts_with("HTTP/1.1 503 "));
}

/// Rows D1, L8: the certificate in the files is that of the next connection. Files that do not
/// belong together are not used.
#[cfg(feature = "rustls")]
#[tokio::test]
async fn a_renewed_certificate_is_that_of_the_next_connection() {
    use std::path::Path;
    use wsx::{Hub, Rejection, Tls, http::request::Parts, server::PeerCertificates};
    use wsx_tests::Log;
    use wsx_tls_tests::{Authority, Issued};

    let authority = Authority::default();
    let (hub, log) = (Hub::new(), Log::default());
    let seen = log.clone();
    let build_id = move |request: Parts| {
        seen.add(request.extensions.get::<PeerCertificates>().expect("the server requires one").0.clone());
        async { Ok::<_, Rejection>("box-7") }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let tls = Tls::new(authority.server_for_clients_with(&authority.issue(&["localhost"])));
    tokio::spawn(hub.ws_handler(build_id, |_| {}).serve_tls(listener, tls));

    let file = |name: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (ca, certificate, key) = (file("ca.pem"), file("box-7.pem"), file("box-7.key"));
    let write = |certificate_of: &Issued, key_of: &Issued| {
        std::fs::write(&certificate, &certificate_of.pem).unwrap();
        std::fs::write(&key, key_of.key_pem()).unwrap();
    };
    let [first, renewed, third] = [(); 3].map(|()| authority.issue(&["box-7"]));
    std::fs::write(&ca, authority.pem()).unwrap();
    write(&first, &first);
    let mut program = Command::new(env!("CARGO_BIN_EXE_renewing_certificate"));
    let _program = Running(program.arg(url).args([&ca, &certificate, &key]).spawn().expect("it was built"));
    for (certificate, key, expected) in [(&renewed, &renewed, &first), (&third, &renewed, &renewed)] {
        assert_eq!(log.next().await, std::slice::from_ref(&expected.certificate));
        write(certificate, key);
        hub.connection("box-7").expect("it is there before its handshake is answered").close();
    }
    assert_eq!(log.next().await, [renewed.certificate]);
}

/// Returns the answer to an HTTP request, as `GET /metrics`.
fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the example listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("the option is supported");
    write!(stream, "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// Rows D1 and X10: the example shows Prometheus every metric of the page, each of the documented
/// kind, except those of a cluster.
#[test]
fn a_scrape_of_the_example_has_every_documented_metric() {
    let page = include_str!("../../../docs/observability.md");
    let documented: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `wsx_")?.split('|').map(str::trim);
            cells.next()?;
            let (name, _) = line[3..].split_once('`')?;
            Some((name, cells.next()?))
        })
        .collect();
    assert!(documented.len() > 10, "{documented:?}");
    // A hub without a cluster does not have these.
    let documented: BTreeMap<_, _> =
        documented.into_iter().filter(|(name, _)| !name.starts_with("wsx_cluster_")).collect();
    let arguments = ["--hub", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
    let (_example, line) = Running::start(env!("CARGO_BIN_EXE_prometheus"), &arguments);
    let address = line.strip_prefix("metrics: http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let address = address.unwrap_or_else(|| panic!("{line:?}"));
    let start = Instant::now();
    let answer = loop {
        let answer = http(address, "GET /metrics");
        if documented.keys().all(|name| answer.contains(&format!("# TYPE {name} "))) {
            break answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "a metric is missing: {answer}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let missing = http(address, "GET /");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(missing.starts_with("HTTP/1.1 404 Not Found\r\n"), "{missing}");
    let types = answer.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    assert_eq!(types.collect::<BTreeMap<_, _>>(), documented);
}
