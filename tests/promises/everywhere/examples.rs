//! The example programs run: row D1 of the specification.
//!
//! A test of the package of the examples, so that cargo builds them for it.
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Rows D1, A1: a server and three boxes talk for six seconds. The server restarts meanwhile. The
/// last line says that nothing was lost and that each box has reconnected.
#[test]
fn the_fleet_loses_nothing_when_its_server_restarts() {
    let output = Command::new(env!("CARGO_BIN_EXE_fleet")).args(["--for", "6s"]).output().expect("it was built");
    let said = String::from_utf8(output.stdout).expect("it prints UTF-8");
    let last = said.lines().last().unwrap_or_default();
    let numbers: Vec<u32> =
        last.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).flat_map(str::parse).collect();
    let [received, lost, reconnected] = numbers[..] else { panic!("three numbers in the last line: {said}") };
    assert_eq!(last, format!("received {received}, lost {lost}, reconnected {reconnected}"));
    assert!(received > 0 && lost == 0 && reconnected >= 3, "{last}");
    assert!(output.status.success(), "{}", output.status);
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

    /// Ends the program when the test ends.
    struct Ended(std::process::Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

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
    let _program = Ended(program.arg(url).args([&ca, &certificate, &key]).spawn().expect("it was built"));
    for (certificate, key, expected) in [(&renewed, &renewed, &first), (&third, &renewed, &renewed)] {
        assert_eq!(log.next().await, std::slice::from_ref(&expected.certificate));
        write(certificate, key);
        hub.connection("box-7").expect("it is there before its handshake is answered").close();
    }
    assert_eq!(log.next().await, [renewed.certificate]);
}

/// Returns the answer to an HTTP request.
fn http(address: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the example listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("the option is supported");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// Rows D1 and X10: the example shows Prometheus every metric of the page, each of the documented
/// kind.
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
    let mut example = Command::new(env!("CARGO_BIN_EXE_prometheus"))
        .args(["--hub", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it was built");
    let mut line = String::new();
    // Kept, because the example prints more lines later.
    let mut stdout = BufReader::new(example.stdout.take().expect("piped above"));
    stdout.read_line(&mut line).expect("it prints UTF-8");
    let address = line.trim().strip_prefix("metrics: http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let address = address.unwrap_or_else(|| panic!("{line:?}"));
    let start = Instant::now();
    let answer = loop {
        let answer = http(address, "/metrics");
        if documented.keys().all(|name| answer.contains(&format!("# TYPE {name} "))) {
            break answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "a metric is missing: {answer}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let missing = http(address, "/");
    example.kill().expect("it runs");
    example.wait().expect("it ends");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(missing.starts_with("HTTP/1.1 404 Not Found\r\n"), "{missing}");
    let types = answer.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    assert_eq!(types.collect::<BTreeMap<_, _>>(), documented);
}
