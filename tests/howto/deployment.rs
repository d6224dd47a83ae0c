//! The program of `docs/deployment.md`: row D4 of the specification. `tests/scripts/deployment.sh`
//! runs it with systemd, and as a container.
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
};
use tokio_rustls::TlsConnector;
use wsx::{
    CancellationToken, Client, CloseCode, ClosedBy, ConnectError, Envelope,
    http::{HeaderValue, StatusCode, header::AUTHORIZATION},
    rustls::pki_types::ServerName,
};
use wsx_tests::{
    page::{blocks, page},
    within,
};
use wsx_tls_tests::{Authority, Issued};

/// The program, and what it prints.
struct Station {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Station {
    async fn start(folder: &Path, drain: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_station"));
        command.arg(folder).args(["127.0.0.1:0", drain]).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it was built");
        let mut lines = BufReader::new(child.stdout.take().expect("piped above")).lines();
        let line = within(lines.next_line()).await.unwrap().expect("it prints its address");
        let port = line.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        Self { child, lines, port }
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it has not been waited for");
        kill(Pid::from_raw(id.try_into().expect("a process id")), signal).expect("it runs");
    }

    async fn prints(&mut self, expected: &str) {
        assert_eq!(within(self.lines.next_line()).await.unwrap().as_deref(), Some(expected));
    }

    /// Connects once, with this token.
    async fn client(&self, authority: &Authority, token: &str) -> Result<Client, ConnectError> {
        let client = Client::builder(format!("wss://localhost:{}/ws", self.port))
            .tls(authority.client())
            .header(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap())
            .reconnect(false)
            .build();
        within(client.unwrap().start(CancellationToken::new())).await
    }

    /// Returns the status of a health check.
    async fn health(&self, authority: &Authority) -> String {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls =
            within(TlsConnector::from(std::sync::Arc::new(authority.client())).connect(name, tcp)).await.unwrap();
        tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut status = vec![0; 12];
        within(tls.read_exact(&mut status)).await.unwrap();
        String::from_utf8(status).unwrap()
    }
}

fn write(folder: &Path, certificate: &Issued, tokens: &str) {
    fs::write(folder.join("chain.pem"), &certificate.pem).unwrap();
    fs::write(folder.join("key.pem"), certificate.key_pem()).unwrap();
    fs::write(folder.join("tokens"), tokens).unwrap();
}

/// Row D4: the page shows the program that is tested here.
#[test]
fn the_page_shows_the_program() {
    let page = page("docs/deployment.md");
    let blocks = blocks(&page);
    let shown = blocks.iter().find(|block| block.file == Some("src/main.rs")).expect("the page has the program");
    let code: String = include_str!("../../examples/src/bin/station.rs")
        .lines()
        .filter(|line| !line.starts_with("//!"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(shown.text, code, "docs/deployment.md:{}", shown.line);
}

/// Row D4: after SIGHUP, new tokens count. After SIGTERM, the health check fails first, and all
/// else goes on. Then each connection ends with 1001, and the program ends with success.
#[tokio::test]
async fn the_program_of_the_page_stops_in_order() {
    let folder = super::folder("deployment");
    let authority = Authority::default();
    write(&folder, &authority.issue(&["localhost"]), "7f3a box-7\n");
    let mut station = Station::start(&folder, "1").await;
    let client = station.client(&authority, "7f3a").await.unwrap();
    let error = station.client(&authority, "0000").await.unwrap_err();
    assert!(matches!(&error, ConnectError::Rejected { status: StatusCode::UNAUTHORIZED, .. }), "{error:?}");

    write(&folder, &authority.issue(&["localhost"]), "7f3a box-7\n0000 box-8\n");
    station.signal(Signal::SIGHUP);
    station.prints("reloaded").await;
    let _second = station.client(&authority, "0000").await.unwrap();
    assert_eq!(station.health(&authority).await, "HTTP/1.1 200");

    station.signal(Signal::SIGTERM);
    station.prints("draining").await;
    assert_eq!(station.health(&authority).await, "HTTP/1.1 503");
    client.send(&Envelope::with_type("telemetry", serde_json::json!({"celsius": 21.5}))).await.unwrap();
    station.prints("box-7: 21.5 °C").await;
    let conn = client.connection().unwrap();
    let closed = within(conn.closed()).await;
    assert_eq!((closed.code, closed.by), (CloseCode::GOING_AWAY, ClosedBy::Peer));
    station.prints("stopped, 0 connections were cut off").await;
    assert!(within(station.child.wait()).await.unwrap().success());
}
