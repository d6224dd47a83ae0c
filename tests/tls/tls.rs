//! TLS at both ends.
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use std::{
    io,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream},
    net::{TcpListener, TcpSocket, TcpStream},
    process::Command,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use wsx::{
    Backoff, CancellationToken, Client, ClientState, CloseCode, ClosedBy, Config, ConnectError, Hub, Identity,
    Observer, Rejection, Tls,
    client::ClientBuilder,
    http::{HeaderValue, StatusCode, header, request::Parts},
    rustls::{
        DigitallySignedStruct, SignatureScheme,
        client::{
            Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::ring,
        pki_types::{CertificateDer, ServerName, UnixTime},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
    server::{HandshakeError, HubBuilder, PeerAddr, PeerCertificates, WsHandler},
};
use wsx_tests::{
    Log, Seen, chain,
    proxy::{Proxy, documented, replaced},
    query_id, recorder, within,
};
use wsx_tls_tests::Authority;

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Telemetry {
    text: String,
}

#[derive(wsx::Endpoint, Clone, Default)]
struct Station;
#[wsx::handler("telemetry", on = Station)]
fn on_telemetry(msg: Telemetry) -> Telemetry {
    msg
}

#[derive(wsx::Endpoint, Clone, Default)]
struct EdgeBox {
    answers: Log<Telemetry>,
}
#[wsx::handler("telemetry", on = EdgeBox)]
fn on_answer(edge: &EdgeBox, msg: Telemetry) {
    edge.answers.add(msg);
}

/// A hub that serves TLS on a port of its own.
struct Server {
    hub: Hub<Station>,
    port: u16,
    tls: Tls,
    _listener: JoinHandle<()>,
}

impl Server {
    async fn start(hub: HubBuilder<Station>, tls: impl Into<Arc<wsx::rustls::ServerConfig>>) -> Self {
        let hub = hub.build().unwrap();
        let upgrade = hub.ws_handler(query_id, |_| {});
        Self::start_at(hub, upgrade, Tls::new(tls)).await
    }

    async fn start_at(hub: Hub<Station>, upgrade: WsHandler<Station>, tls: Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let _listener = tokio::spawn(upgrade.serve_tls(listener, tls.clone()));
        Self { hub, port, tls, _listener }
    }

    fn url(&self, id: &str) -> String {
        format!("wss://localhost:{}/ws?id={id}", self.port)
    }

    async fn tcp(&self) -> TcpStream {
        within(TcpStream::connect(("127.0.0.1", self.port))).await.unwrap()
    }

    /// Connects a peer that is not wsx.
    async fn peer(&self, authority: &Authority, id: &str) -> WebSocketStream<Box<TlsStream<TcpStream>>> {
        let connector = TlsConnector::from(Arc::new(authority.client()));
        let name = ServerName::try_from("localhost").unwrap();
        let tls = within(connector.connect(name, self.tcp().await)).await.unwrap();
        within(client_async(self.url(id), Box::new(tls))).await.unwrap().0
    }
}

fn station() -> HubBuilder<Station> {
    Hub::builder().endpoint(Station)
}

/// Returns a client that tries once.
fn edge(url: String, tls: wsx::rustls::ClientConfig) -> ClientBuilder<EdgeBox> {
    Client::builder(url).endpoint(EdgeBox::default()).tls(tls).reconnect(false)
}

async fn connect(client: ClientBuilder<EdgeBox>) -> Result<Client<EdgeBox>, ConnectError> {
    within(client.build().unwrap().connect(CancellationToken::new(), |_| {})).await
}

/// Sends a message and waits for the answer.
async fn talk(client: &Client<EdgeBox>, text: &str) {
    client.send(&Telemetry { text: text.to_owned() }).await.unwrap();
    assert!(client.endpoint().answers.next().await.text == text, "{} bytes", text.len());
}

/// Rows L1, N7: messages of every size go in both directions, and the close is clean. Both ends
/// know the address of the other one.
#[tokio::test]
async fn a_client_talks_to_a_hub_over_tls() {
    let authority = Authority::default();
    let server = Server::start(station(), authority.issue(&["localhost"]).server()).await;
    let client = connect(edge(server.url("a"), authority.client())).await.unwrap();
    for length in [0, 1, 1000, 20_000, 1 << 20] {
        talk(&client, &"x".repeat(length)).await;
    }
    let conn = server.hub.connection("a").unwrap();
    assert_eq!(conn.peer_addr().unwrap().ip().to_string(), "127.0.0.1");
    assert_eq!(client.connection().unwrap().peer_addr().unwrap().port(), server.port);
    client.close();
    let closed = within(conn.closed()).await;
    assert_eq!((closed.code, closed.by), (CloseCode::NORMAL, ClosedBy::Peer));
}

/// Row L1: a certificate may be for an IP address.
#[tokio::test]
async fn a_certificate_can_be_for_an_address() {
    let authority = Authority::default();
    let server = Server::start(station(), authority.issue(&["127.0.0.1"]).server()).await;
    let url = format!("wss://127.0.0.1:{}/ws?id=a", server.port);
    let client = connect(edge(url, authority.client())).await.unwrap();
    talk(&client, "x").await;
}

/// Row K14: a certificate is for an address without its zone.
#[tokio::test]
async fn a_zone_is_not_part_of_the_name_in_a_certificate() {
    let authority = Authority::default();
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let url = format!("wss://[::1%251]:{}/ws?id=a", listener.local_addr().unwrap().port());
    let upgrade = station().build().unwrap().ws_handler(query_id, |_| {});
    tokio::spawn(upgrade.serve_tls(listener, Tls::new(authority.issue(&["::1"]).server())));
    let client = connect(edge(url, authority.client())).await.unwrap();
    talk(&client, "x").await;
}

/// Row L1: a rejected handshake keeps its HTTP status.
#[tokio::test]
async fn a_rejected_handshake_over_tls_has_its_status() {
    let authority = Authority::default();
    let server = Server::start(station(), authority.issue(&["localhost"]).server()).await;
    let url = format!("wss://localhost:{}/ws", server.port);
    let error = connect(edge(url, authority.client())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Rejected { status: StatusCode::BAD_REQUEST, .. }), "{error:?}");
}

/// Row K21: a redirect from `wss` to `ws` is never followed, and one within `wss` is.
#[tokio::test]
async fn a_redirect_does_not_leave_tls() {
    let authority = Authority::default();
    let issued = authority.issue(&["localhost"]);
    let target = Server::start(station(), issued.server()).await;
    for (location, followed) in [
        (target.url("moved"), true),
        (target.url("moved").replace("wss://", "https://"), true),
        (target.url("moved").replace("wss://", "ws://"), false),
        (target.url("moved").replace("wss://", "http://"), false),
    ] {
        let hub = station().build().unwrap();
        let to = HeaderValue::from_str(&location).unwrap();
        let redirect = move |_: Parts| {
            let rejection = Rejection::new(StatusCode::FOUND, "").header(header::LOCATION, to.clone());
            async { Err::<String, _>(rejection) }
        };
        let upgrade = hub.ws_handler(redirect, |_| {});
        let server = Server::start_at(hub, upgrade, Tls::new(issued.server())).await;
        let result = connect(edge(server.url("a"), authority.client()).follow_redirects(1, |_| true)).await;
        match result {
            Ok(client) => {
                assert!(followed, "{location}");
                talk(&client, "hello").await;
            }
            Err(error) => {
                assert!(!followed, "{location}: {error}");
                assert!(error.to_string().contains("it leads from wss to ws"), "{error}");
            }
        }
    }
}

/// Row L2: each kind of bad certificate is an error of its own, with the reason.
#[tokio::test]
async fn a_certificate_that_is_not_to_be_trusted_says_why() {
    let (authority, other) = (Authority::default(), Authority::named("another authority"));
    let names = ["localhost"];
    let cases = [
        (authority.issue(&["station.example"]), "not valid for name"),
        (authority.issue_expired(&names), "expired"),
        (other.issue(&names), "UnknownIssuer"),
    ];
    for (issued, why) in cases {
        let (recorder, mut memory) = recorder();
        let server = Server::start(station().observer(recorder), issued.server()).await;
        let error = connect(edge(server.url("a"), authority.client())).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Certificate { host, .. } if host == "localhost"), "{error:?}");
        assert!(!error.is_final() && !error.is_refusal());
        let error = chain(&error);
        assert!(error.starts_with("the certificate of localhost is not trusted: "), "{error}");
        assert!(error.contains(why), "{error}");
        memory.find(|seen| if let Seen::TlsFailed(_) = seen { Some(()) } else { None }).await;
        assert!(server.hub.is_empty());
    }
}

/// Row L2: a server that is missing, or does not use TLS, is not a certificate error.
#[tokio::test]
async fn a_server_without_tls_is_not_reported_as_missing() {
    let authority = Authority::default();
    let plain = wsx_tests::Server::start(Hub::builder().endpoint(Station).build().unwrap()).await;
    let error = connect(edge(plain.url("a").replace("ws:", "wss:"), authority.client())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    let error = chain(&error);
    assert!(error.starts_with(&format!("cannot make a TLS connection to {}: ", plain.address)), "{error}");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = connect(edge(format!("wss://{free}/ws"), authority.client())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial { .. }), "{error:?}");
}

/// Row L2: the handshake timeout of the client covers TLS.
#[tokio::test]
async fn a_server_that_is_silent_before_tls_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/ws", silent.local_addr().unwrap());
    let config = Config::default().handshake_timeout(Duration::from_millis(200));
    let error = connect(edge(url, Authority::default().client()).config(config)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout(_)), "{error:?}");
}

/// Row L3: by default a client trusts the platform's roots.
#[tokio::test]
async fn by_default_a_client_trusts_whom_the_platform_trusts() {
    let (authority, other) = (Authority::default(), Authority::named("another authority"));
    let server = Server::start(station(), authority.issue(&["localhost"]).server()).await;
    for (name, roots, expected) in [
        ("ours.pem", authority.pem(), "connected"),
        ("others.pem", other.pem(), "the certificate of localhost is not trusted: "),
        (
            "none.pem",
            String::new(),
            &format!("cannot make a TLS connection to localhost:{}: this system has no usable root", server.port),
        ),
    ] {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, roots).unwrap();
        let mut dial = Command::new(env!("CARGO_BIN_EXE_dial"));
        dial.arg(server.url("a")).env("SSL_CERT_FILE", &file).env_remove("SSL_CERT_DIR").kill_on_drop(true);
        let output = String::from_utf8(within(dial.output()).await.unwrap().stdout).unwrap();
        assert!(output.starts_with(expected), "{name}: {output}");
    }
}

/// Row L4: a new certificate applies to new connections. Open connections are not touched.
#[tokio::test]
async fn a_reload_reaches_the_next_connection_alone() {
    let (old, new) = (Authority::default(), Authority::named("a new authority"));
    let server = Server::start(station(), old.issue(&["localhost"]).server()).await;
    let before = connect(edge(server.url("before"), old.client())).await.unwrap();
    connect(edge(server.url("b"), new.client())).await.unwrap_err();
    server.tls.reload(new.issue(&["localhost"]).server());
    let after = connect(edge(server.url("after"), new.client())).await.unwrap();
    let error = connect(edge(server.url("b"), old.client())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Certificate { .. }), "{error:?}");
    talk(&before, "still working").await;
    talk(&after, "working too").await;
}

/// Row L5: `build_id` gets the client's certificate.
#[tokio::test]
async fn build_id_sees_the_certificate_of_the_client() {
    let authority = Authority::default();
    let (server, device) = (authority.issue(&["localhost"]), authority.issue(&["box-7"]));
    let known = device.certificate.clone();
    let build_id = move |request: Parts| {
        let known = known.clone();
        async move {
            assert!(request.extensions.get::<PeerAddr>().is_some());
            match request.extensions.get() {
                Some(PeerCertificates(chain)) if *chain == [known] => Ok(Identity::new("box-7")),
                _ => Err(Rejection::new(StatusCode::FORBIDDEN, "an unknown device")),
            }
        }
    };
    let (recorder, mut memory) = recorder();
    let hub = station().observer(recorder).build().unwrap();
    let upgrade = hub.ws_handler(build_id, |_| {});
    let server = Server::start_at(hub, upgrade, Tls::new(authority.server_for_clients_with(&server))).await;
    let client = connect(edge(server.url(""), authority.client_with(&device))).await.unwrap();
    talk(&client, "hello").await;
    assert!(server.hub.connection("box-7").is_some());
    // Another device has another certificate.
    let error = connect(edge(server.url(""), authority.client_with(&authority.issue(&["box-8"])))).await.unwrap_err();
    assert!(matches!(error, ConnectError::Rejected { status: StatusCode::FORBIDDEN, .. }), "{error:?}");
    // Without a certificate, or with one of another authority, the TLS handshake fails.
    for config in [authority.client(), authority.client_with(&Authority::named("a stranger").issue(&["box-7"]))] {
        let error = connect(edge(server.url(""), config)).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Tls { .. }), "{error:?}");
        memory.find(|seen| if let Seen::TlsFailed(_) = seen { Some(()) } else { None }).await;
    }
    assert_eq!(server.hub.len(), 1);
}

/// Row L5: a resumed session has the certificate of the first one.
#[tokio::test]
async fn a_resumed_session_keeps_the_certificate() {
    let authority = Authority::default();
    let (server, device) = (authority.issue(&["localhost"]), authority.issue(&["box-7"]));
    let hub = station().build().unwrap();
    let seen = Log::default();
    let log = seen.clone();
    let upgrade = hub.ws_handler(
        move |request: Parts| {
            log.add(request.extensions.get::<PeerCertificates>().cloned());
            async { Ok("a") }
        },
        |_| {},
    );
    let server = Server::start_at(hub, upgrade, Tls::new(authority.server_for_clients_with(&server))).await;
    let config = Arc::new(authority.client_with(&device));
    for resumed in [false, true] {
        let connector = TlsConnector::from(config.clone());
        let name = ServerName::try_from("localhost").unwrap();
        let tls = within(connector.connect(name, server.tcp().await)).await.unwrap();
        let kind = if resumed { wsx::rustls::HandshakeKind::Resumed } else { wsx::rustls::HandshakeKind::Full };
        let (mut ws, _) = within(client_async(server.url("a"), Box::new(tls))).await.unwrap();
        assert_eq!(ws.get_ref().get_ref().1.handshake_kind(), Some(kind));
        assert_eq!(seen.next().await.unwrap().0, std::slice::from_ref(&device.certificate));
        ws.close(None).await.unwrap();
        while let Some(Ok(_)) = within(ws.next()).await {}
    }
}

/// Row L6: a peer that is silent, or stops in the middle of its handshake, is cut off at the
/// handshake timeout.
#[tokio::test]
async fn a_tls_handshake_that_is_not_finished_is_cut() {
    let (recorder, mut memory) = recorder();
    let config = Config::default().handshake_timeout(Duration::from_millis(200));
    let authority = Authority::default();
    let server =
        Server::start(station().config(config).observer(recorder), authority.issue(&["localhost"]).server()).await;
    let mut silent = server.tcp().await;
    // The first bytes of a ClientHello of 512 bytes.
    let mut incomplete = server.tcp().await;
    incomplete.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await.unwrap();
    for tcp in [&mut silent, &mut incomplete] {
        // The stream may end with an error.
        let _ = within(tcp.read_to_end(&mut Vec::new())).await;
        let why = memory.find(|seen| if let Seen::TlsFailed(why) = seen { Some(why) } else { None }).await;
        assert_eq!(why, "the TLS handshake was not finished within 200ms");
    }
    // After TLS the same deadline applies.
    let connector = TlsConnector::from(Arc::new(authority.client()));
    let name = ServerName::try_from("localhost").unwrap();
    let mut idle = within(connector.connect(name, server.tcp().await)).await.unwrap();
    let mut answer = String::new();
    within(idle.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// Row L6: TLS and HTTP share one handshake timeout.
#[tokio::test(start_paused = true)]
async fn tls_and_http_have_one_deadline() {
    let authority = Authority::default();
    let tls = Tls::new(authority.issue(&["localhost"]).server());
    let config = Config::default().handshake_timeout(Duration::from_secs(10));
    let hub = station().config(config).build().unwrap();
    let upgrade = hub.ws_handler(query_id, |_| {});
    let (near, far) = tokio::io::duplex(1024);
    let since = Instant::now();
    let opening = tokio::spawn(async move { upgrade.serve_tls_connection(far, None, &tls).await.map(drop) });
    sleep(Duration::from_secs(6)).await;
    let connector = TlsConnector::from(Arc::new(authority.client()));
    let mut idle = connector.connect(ServerName::try_from("localhost").unwrap(), near).await.unwrap();
    let mut answer = String::new();
    idle.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(since.elapsed().as_secs(), 10);
    drop(idle);
    assert!(opening.await.unwrap().is_err());
}

/// Row L6: a TLS handshake in progress counts as a handshake in progress. A silent one gives way.
#[tokio::test]
async fn tls_handshakes_in_progress_are_counted() {
    let (recorder, mut memory) = recorder();
    let config = Config::default().handshake_timeout(Duration::from_secs(3600));
    let authority = Authority::default();
    let tls = authority.issue(&["localhost"]).server();
    let server = Server::start(station().config(config).observer(recorder).max_handshakes(1), tls).await;
    let mut silent = [server.tcp().await, server.tcp().await, server.tcp().await];
    let client = connect(edge(server.url("waiting"), authority.client())).await.unwrap();
    talk(&client, "connected").await;
    for tcp in &mut silent {
        assert_eq!(within(tcp.read(&mut [0])).await.unwrap(), 0, "it ends without an answer");
        memory.find(|seen| if let Seen::HandshakeRejected(503, _) = seen { Some(()) } else { None }).await;
    }
}

/// Counts the TLS handshakes of a server: each looks for a certificate once.
#[derive(Debug)]
struct Counting {
    certificates: Arc<dyn ResolvesServerCert>,
    count: Arc<AtomicUsize>,
}

impl ResolvesServerCert for Counting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.certificates.resolve(hello)
    }
}

/// Returns the configuration of a server, and the number of its TLS handshakes.
fn counting(authority: &Authority) -> (wsx::rustls::ServerConfig, Arc<AtomicUsize>) {
    let (mut config, count) = (authority.issue(&["localhost"]).server(), Arc::new(AtomicUsize::new(0)));
    config.cert_resolver = Arc::new(Counting { certificates: config.cert_resolver, count: count.clone() });
    (config, count)
}

/// Row L6: in a full hub, a box over TLS replaces its own connection. Handshakes for which there is
/// no place among the candidates are rejected before TLS.
#[tokio::test]
async fn a_full_hub_pays_for_few_tls_handshakes() {
    let authority = Authority::default();
    let (tls, count) = counting(&authority);
    let (recorder, mut memory) = recorder();
    // One candidate at a time.
    let hub = station().observer(recorder).max_connections(1).max_handshakes(64).build().unwrap();
    let (deciding, release) = (Log::default(), Arc::new(Notify::new()));
    let (log, released) = (deciding.clone(), release.clone());
    let build_id = move |request: Parts| {
        let (log, released) = (log.clone(), released.clone());
        async move {
            let id = query_id(request).await?;
            if id == "slow" {
                log.add(());
                released.notified().await;
            }
            Ok::<_, Rejection>(id)
        }
    };
    let upgrade = hub.ws_handler(build_id, |_| {});
    let server = Server::start_at(hub, upgrade, Tls::new(tls)).await;
    let first = connect(edge(server.url("a"), authority.client())).await.unwrap();
    let second = connect(edge(server.url("a"), authority.client())).await.unwrap();
    within(first.closed()).await;
    talk(&second, "replaced").await;
    // Another id learns after TLS that the hub is full.
    let slow = tokio::spawn(connect(edge(server.url("slow"), authority.client())));
    deciding.next().await;
    assert_eq!(count.load(Ordering::Relaxed), 3);
    // Meanwhile there is no place for another candidate.
    let error = connect(edge(server.url("a"), authority.client())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    memory.find(|seen| if let Seen::HandshakeRejected(503, _) = seen { Some(()) } else { None }).await;
    assert_eq!(count.load(Ordering::Relaxed), 3, "no TLS handshake");
    release.notify_one();
    let error = within(slow).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Rejected { status: StatusCode::SERVICE_UNAVAILABLE, .. }), "{error:?}");
    let third = connect(edge(server.url("a"), authority.client())).await.unwrap();
    talk(&third, "replaced again").await;
    assert_eq!(server.hub.len(), 1);
}

/// A verifier that panics while its switch is on.
#[derive(Debug)]
struct PanickingVerifier {
    switch: Arc<AtomicBool>,
}

impl PanickingVerifier {
    fn check(&self) {
        assert!(!self.switch.load(Ordering::Relaxed), "a panic on purpose");
    }
}

impl ServerCertVerifier for PanickingVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, wsx::rustls::Error> {
        self.check();
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, wsx::rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, wsx::rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Row X4: a certificate verifier that panics in a reconnect fails that attempt, and the client
/// dials again.
#[tokio::test]
async fn a_verifier_that_panics_in_a_reconnect_is_a_failed_attempt() {
    let authority = Authority::default();
    let server = Server::start(station(), authority.issue(&["localhost"]).server()).await;
    let switch = Arc::new(AtomicBool::new(false));
    let mut config = authority.client();
    config.dangerous().set_certificate_verifier(Arc::new(PanickingVerifier { switch: switch.clone() }));
    config.resumption = Resumption::disabled();
    let setbacks = Log::default();
    let log = setbacks.clone();
    let client = edge(server.url("a"), config)
        .reconnect(true)
        .backoff(Backoff::default().initial(Duration::from_millis(1)).max(Duration::from_millis(10)))
        .give_up(move |setback| {
            log.add(setback.to_string());
            false
        });
    let client = connect(client).await.unwrap();
    switch.store(true, Ordering::Relaxed);
    server.hub.connection("a").unwrap().close();
    assert!(setbacks.next().await.contains("1000"), "the end of the first connection");
    let why = setbacks.next().await;
    assert!(why.ends_with(": the program's certificate verifier or stream panicked"), "{why}");
    switch.store(false, Ordering::Relaxed);
    within(client.connected()).await.unwrap();
    talk(&client, "back").await;
}

/// Panics when a TLS handshake fails.
#[derive(Debug)]
struct PanickingObserver(Log<String>);
impl Observer for PanickingObserver {
    fn tls_failed(&self, _: Option<SocketAddr>, error: &io::Error) {
        self.0.add(error.to_string());
        panic!("a panic on purpose");
    }
}

/// Row X4: an observer and a certificate resolver that panic in TLS handshakes end neither the
/// listener nor an accept loop of the program.
#[tokio::test]
async fn a_panic_in_a_tls_handshake_ends_that_handshake_only() {
    #[derive(Debug)]
    struct PanickingResolver(Arc<dyn ResolvesServerCert>, AtomicBool);
    impl ResolvesServerCert for PanickingResolver {
        fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            assert!(!self.1.swap(false, Ordering::Relaxed), "a panic on purpose");
            self.0.resolve(hello)
        }
    }
    let authority = Authority::default();
    let reports = Log::default();
    let config = || {
        let mut config = authority.issue(&["localhost"]).server();
        config.cert_resolver = Arc::new(PanickingResolver(config.cert_resolver, AtomicBool::new(true)));
        config
    };
    let hub = station().observer(PanickingObserver(reports.clone())).max_handshakes(1).build().unwrap();
    let upgrade = hub.ws_handler(query_id, |_| {});
    let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own_port = own.local_addr().unwrap().port();
    let (handler, tls) = (upgrade.clone(), Tls::new(config()));
    // The accept loop of a program.
    let _own = tokio::spawn(async move {
        loop {
            let (tcp, peer) = own.accept().await.unwrap();
            let _ = handler.serve_tls_connection(tcp, Some(peer), &tls).await;
        }
    });
    let server = Server::start_at(hub, upgrade, Tls::new(config())).await;
    for port in [server.port, own_port] {
        let mut plain = within(TcpStream::connect(("127.0.0.1", port))).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        plain.shutdown().await.unwrap();
        within(plain.read_to_end(&mut Vec::new())).await.unwrap();
        assert!(reports.next().await.contains("corrupt message"));
        let url = || format!("wss://localhost:{port}/ws?id=a");
        let error = connect(edge(url(), authority.client())).await.unwrap_err();
        assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
        assert!(reports.next().await.contains("panicked"));
        let client = connect(edge(url(), authority.client())).await.unwrap();
        talk(&client, "still serving").await;
    }
}

/// Row L6: a stream that the program accepted does not wait for a place. Without a place there is
/// no TLS handshake.
#[tokio::test]
async fn a_stream_without_a_place_ends_before_tls() {
    let (recorder, mut memory) = recorder();
    let tls = Tls::new(Authority::default().issue(&["localhost"]).server());
    let hub = station().observer(recorder).max_handshakes(1).build().unwrap();
    let upgrade = hub.ws_handler(query_id, |_| {});
    let (silent, theirs) = tokio::io::duplex(1024);
    let first = tokio::spawn({
        let (upgrade, tls) = (upgrade.clone(), tls.clone());
        async move { upgrade.serve_tls_connection(theirs, None, &tls).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let (mut near, far) = tokio::io::duplex(1024);
    let error = within(upgrade.serve_tls_connection(far, None, &tls)).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Rejected { status: StatusCode::SERVICE_UNAVAILABLE, .. }), "{error:?}");
    assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
    memory.find(|seen| if let Seen::HandshakeRejected(503, _) = seen { Some(()) } else { None }).await;
    drop(silent);
    let error = within(first).await.unwrap().unwrap_err();
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
}

/// Row L6: an address that has reached its limit is rejected before TLS.
#[tokio::test]
async fn an_address_at_its_limit_is_rejected_before_tls() {
    let (recorder, mut memory) = recorder();
    let authority = Authority::default();
    let (tls, count) = counting(&authority);
    let server = Server::start(station().observer(recorder).max_connections_per_address(1), tls).await;
    let client = connect(edge(server.url("a"), authority.client())).await.unwrap();
    let error = connect(edge(server.url("b"), authority.client())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    memory.find(|seen| if let Seen::HandshakeRejected(429, _) = seen { Some(()) } else { None }).await;
    assert_eq!(count.load(Ordering::Relaxed), 1, "no TLS handshake for the rejected client");
    talk(&client, "still working").await;
}

/// Row L6: a peer that does not use TLS gets an alert and a FIN, whatever it still sends. The next
/// connection is served.
#[tokio::test]
async fn plain_http_at_the_tls_port_ends_cleanly() {
    let authority = Authority::default();
    let server = Server::start(station(), authority.issue(&["localhost"]).server()).await;
    let mut plain = server.tcp().await;
    let request = format!("POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    within(plain.write_all(request.as_bytes())).await.unwrap();
    plain.shutdown().await.unwrap();
    let mut answer = Vec::new();
    within(plain.read_to_end(&mut answer)).await.expect("the stream ends without a reset");
    assert_eq!((answer.len(), answer[0]), (7, 21), "a TLS alert: {answer:?}");
    let client = connect(edge(server.url("a"), authority.client())).await.unwrap();
    talk(&client, "x").await;
}

/// Row L7: the close code for rejected input arrives through TLS, with unread input or without.
#[tokio::test(flavor = "multi_thread")]
async fn the_close_code_for_rejected_input_arrives() {
    let authority = Authority::default();
    let config = Config::default().max_message_size(10_000);
    let server = Server::start(station().config(config), authority.issue(&["localhost"]).server()).await;
    for try_ in 0..20 {
        let mut peer = server.peer(&authority, "a").await;
        // More than the kernel buffers: the peer is still writing when the server rejects the
        // message.
        within(peer.send(Message::text("x".repeat(3_000_000)))).await.unwrap();
        let close = loop {
            match within(peer.next()).await {
                Some(Ok(Message::Close(Some(close)))) => break close,
                Some(Ok(_)) => {}
                other => panic!("try {try_}: no close code: {other:?}"),
            }
        };
        assert_eq!(u16::from(close.code), 1009, "try {try_}");
    }
}

/// Row L7: a peer that hangs up without closing TLS or WebSocket is a lost link.
#[tokio::test]
async fn an_abrupt_end_is_a_lost_link() {
    let (recorder, mut memory) = recorder();
    let authority = Authority::default();
    let server = Server::start(station().observer(recorder), authority.issue(&["localhost"]).server()).await;
    let peer = server.peer(&authority, "a").await;
    // The socket below TLS ends with a FIN.
    let (mut tcp, _session) = peer.into_inner().into_inner();
    tcp.shutdown().await.unwrap();
    let (_, closed) = memory.connection_closed().await;
    assert_eq!((u16::from(closed.code), closed.by), (1006, ClosedBy::Link), "{closed:?}");
    let client = connect(edge(server.url("b"), authority.client())).await.unwrap();
    talk(&client, "x").await;
}

/// Carries 4 KB a second.
async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
    let mut some = [0; 1024];
    while let Ok(n @ 1..) = from.read(&mut some).await {
        sleep(Duration::from_millis(250)).await;
        if to.write_all(&some[..n]).await.is_err() {
            break;
        }
    }
}

/// Connects a client to a TLS hub through a link of 4 KB a second.
fn slowly(upgrade: &WsHandler<Station>, tls: &Tls) -> DuplexStream {
    let (near, one) = tokio::io::duplex(1024);
    let (other, far) = tokio::io::duplex(1024);
    let ((up_from, down_to), (down_from, up_to)) = (tokio::io::split(one), tokio::io::split(other));
    tokio::spawn(carry(up_from, up_to));
    tokio::spawn(carry(down_from, down_to));
    let (upgrade, tls) = (upgrade.clone(), tls.clone());
    tokio::spawn(async move { upgrade.serve_tls_connection(far, None, &tls).await.map(drop) });
    near
}

/// Row L7: a slow link that makes progress is not cut off, although TLS does not report the
/// progress of a flush.
#[tokio::test(start_paused = true)]
async fn a_slow_link_is_not_cut_for_its_slowness() {
    let authority = Authority::default();
    let tls = Tls::new(authority.issue(&["localhost"]).server());
    let hub = station().build().unwrap();
    let upgrade = hub.ws_handler(query_id, |_| {});
    let client = edge("wss://localhost/ws?id=a".to_owned(), authority.client())
        .connector(move |_| std::future::ready(Ok(slowly(&upgrade, &tls))))
        .build()
        .unwrap();
    client.connect(CancellationToken::new(), |_| {}).await.unwrap();
    // 300 KB in each direction, at 4 KB a second.
    for _ in 0..5 {
        client.send(&Telemetry { text: "x".repeat(60_000) }).await.unwrap();
    }
    let (since, mut answers) = (Instant::now(), 0);
    while answers < 5 {
        assert!(since.elapsed() < Duration::from_secs(600), "{answers} answers, and the link is {:?}", client.state());
        sleep(Duration::from_secs(1)).await;
        answers += std::iter::from_fn(|| client.endpoint().answers.try_next()).count();
    }
    assert_eq!(*client.state().borrow(), ClientState::Connected);
}

/// Returns the port of a link of 4 KB a second, for one connection. Its TCP sockets buffer little
/// themselves.
fn slow_tcp_link(server: u16) -> u16 {
    let socket = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket
    };
    let listening = socket();
    listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listening.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = socket().connect(([127, 0, 0, 1], server).into()).await.unwrap();
        let ((up_from, down_to), (down_from, up_to)) = (tokio::io::split(client), tokio::io::split(server));
        tokio::join!(carry(up_from, up_to), carry(down_from, down_to));
    });
    port
}

/// Row L7: a socket takes more only when a part of its buffer is free, and a slow link needs longer
/// for that than the write timeout. Over TLS too, the bytes that the peer acknowledges count.
#[tokio::test(start_paused = true)]
async fn a_slow_link_is_not_cut_for_the_buffer_of_its_socket() {
    let authority = Authority::default();
    let server = Server::start(station(), authority.issue(&["127.0.0.1"]).server()).await;
    let url = format!("wss://127.0.0.1:{}/ws?id=a", slow_tcp_link(server.port));
    let client = edge(url, authority.client()).build().unwrap();
    client.connect(CancellationToken::new(), |_| {}).await.unwrap();
    let (near, far) = (client.connection().unwrap(), server.hub.connection("a").unwrap());
    let text = "x".repeat(300_000);
    // The hub writes its answer when the client has written the message.
    client.send(&Telemetry { text: text.clone() }).await.unwrap();
    tokio::select! {
        answer = async {
            loop {
                if let Some(answer) = client.endpoint().answers.try_next() {
                    break answer;
                }
                sleep(Duration::from_secs(1)).await;
            }
        } => assert!(answer.text == text),
        closed = near.closed() => panic!("the client: {closed}"),
        closed = far.closed() => panic!("the hub: {closed}"),
    }
}

/// Row L1: Python's `websockets` and Node's `ws` connect over TLS, with the authority from their
/// environment.
#[tokio::test]
async fn foreign_clients_talk_over_tls() {
    let authority = Authority::default();
    let server = Server::start(station(), authority.issue(&["localhost"]).server()).await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop");
    for (program, script, trusts) in [
        (folder.join(".venv/bin/python"), "client.py", "SSL_CERT_FILE"),
        ("node".into(), "client.mjs", "NODE_EXTRA_CA_CERTS"),
    ] {
        let mut command = Command::new(&program);
        command.arg(folder.join(script)).env(trusts, &file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.kill_on_drop(true).spawn().unwrap_or_else(|error| {
            panic!("{} cannot be started, run ./tests/run.sh once: {error}", program.display());
        });
        let mut operations = process.stdin.take().unwrap();
        let mut events = BufReader::new(process.stdout.take().unwrap()).lines();
        let envelope = r#"{"type":"telemetry","data":{"text":"hello"}}"#;
        let close = serde_json::json!({"op": "close", "code": 1000, "reason": "done"});
        for (operation, event, expected) in [
            (serde_json::json!({"op": "connect", "url": server.url(script)}), "open", ""),
            (serde_json::json!({"op": "send_text", "text": envelope}), "message", "hello"),
            (close, "close", "1000"),
        ] {
            operations.write_all(format!("{operation}\n").as_bytes()).await.unwrap();
            let output = within(events.next_line()).await.unwrap().unwrap_or_else(|| panic!("{script} has exited"));
            assert!(output.contains(&format!("\"{event}\"")) && output.contains(expected), "{script}: {output}");
        }
    }
}

/// Row N3: the TCP check of a load balancer opens a connection to the TLS port, and closes or
/// resets it. That is not a failed TLS handshake.
#[tokio::test]
async fn a_connection_without_a_byte_is_not_a_failed_tls_handshake() {
    let authority = Authority::default();
    let (recorder, mut memory) = recorder();
    let server = Server::start(station().observer(recorder), authority.issue(&["localhost"]).server()).await;
    for reset in [false, true] {
        for _ in 0..10 {
            let tcp = server.tcp().await;
            if reset {
                tcp.set_zero_linger().unwrap();
            }
        }
    }
    // The first byte makes it one.
    let mut plain = server.tcp().await;
    plain.write_all(b"\x16").await.unwrap();
    drop(plain);
    assert!(matches!(memory.find(Some).await, Seen::TlsFailed(_)));
    let client = connect(edge(server.url("a"), authority.client())).await.unwrap();
    talk(&client, "x").await;
    let next = memory.find(Some).await;
    assert!(matches!(next, Seen::ConnectionOpened(_)), "{next:?}");
}

/// Rows N2, N3, N6: HAProxy does not look into TLS. The header of the PROXY protocol comes before
/// TLS, and names the peer. The health checks speak TLS after the header, and take a draining
/// server out.
#[tokio::test]
async fn haproxy_names_the_peer_before_tls() {
    let authority = Authority::default();
    let (recorder, mut memory) = recorder();
    let hub = station().observer(recorder).trusted_proxies(["127.0.0.1"]).proxy_protocol().health("/healthz");
    let hub = hub.max_connections_per_address(1).build().unwrap();
    let peers = Log::default();
    let log = peers.clone();
    let with_peer = move |request: Parts| {
        log.add(request.extensions.get().map(|PeerAddr(peer)| peer.ip().to_string()));
        query_id(request)
    };
    let upgrade = hub.ws_handler(with_peer, |_| {});
    let server = Server::start_at(hub, upgrade, Tls::new(authority.issue(&["localhost"]).server())).await;
    let own = format!("127.0.0.1:{}", server.port);
    let config = replaced(
        documented("haproxy.cfg: mode tcp"),
        &[("10.0.0.11:9001", &own), ("10.0.0.12:9001", "127.0.0.1:1"), ("inter 2s", "inter 50ms")],
    );
    let proxy = Proxy::haproxy(&config).await;
    // Nothing listens at the other server, so the checks have run.
    proxy.has_status("south", "DOWN").await;
    proxy.has_status("north", "UP").await;

    let connector = TlsConnector::from(Arc::new(authority.client()));
    let through_proxy = async |id: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let tcp = within(socket.connect(proxy.address.parse().unwrap())).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = within(connector.connect(name, tcp)).await?;
        within(client_async(server.url(id), Box::new(tls))).await.map_err(io::Error::other)
    };
    let (mut peer, _) = through_proxy("a").await.unwrap();
    assert_eq!(peers.next().await.as_deref(), Some("127.0.0.2"));
    assert!(matches!(memory.find(Some).await, Seen::ConnectionOpened(_)), "health checks are not reported");
    through_proxy("b").await.expect_err("the limit of the address");
    assert!(matches!(memory.find(Some).await, Seen::HandshakeRejected(429, _)));

    server.hub.drain();
    proxy.has_status("north", "DOWN").await;
    peer.send(Message::text(r#"{"type":"telemetry","data":{"text":"x"}}"#)).await.unwrap();
    assert!(within(peer.next()).await.unwrap().unwrap().is_text(), "an open connection stays");
}
