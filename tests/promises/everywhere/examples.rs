//! The example programs run: row D1 of the specification.
//!
//! A test of the package of the examples, so that cargo builds them for it.
use std::process::Command;

/// Row D1: a server and three boxes talk for six seconds. The server restarts meanwhile. The last
/// line says that nothing was lost and that each box has reconnected.
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
