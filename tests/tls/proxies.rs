//! Clients behind proxies that others wrote: row K12 of the specification. squid is an HTTP proxy,
//! and microsocks a SOCKS5 proxy.
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU16, AtomicU32, Ordering},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::sleep,
};
use wsx::{
    CancellationToken, Client, Config, ConnectError, Hub, Rejection, Tls,
    client::{ClientBuilder, Proxy},
    http::{StatusCode, header::HOST, request::Parts},
    server::{PeerAddr, WsHandler},
};
use wsx_tests::{Log, chain, within};
use wsx_tls_tests::Authority;

/// The user and password that both proxies know, as they are written in a URL.
const CREDENTIALS: &str = "box:p%40ss%3Aword%25";
/// A name that only squid can resolve.
const STATION: &str = "station.test";
/// The address from which microsocks connects.
const SOCKS_SOURCE: &str = "127.0.0.9";

/// A proxy that others wrote. Dropping it kills it.
struct Foreign {
    address: SocketAddr,
    _process: Child,
}

impl Foreign {
    async fn squid() -> Self {
        let address = unused_address();
        let folder = folder();
        // The hash of `p@ss:word%`, by `openssl passwd -apr1`.
        std::fs::write(folder.join("users"), "box:$apr1$wsxtests$1nV.bxsUWwGGdvehH0Oyc.\n").unwrap();
        std::fs::write(folder.join("hosts"), format!("127.0.0.1 {STATION}\n")).unwrap();
        let folder_path = folder.display();
        let config = format!(
            "http_port {address}\nhosts_file {folder_path}/hosts\npid_filename none\ncache_log /dev/null\n\
            access_log none\nlogfile_rotate 0\ncache deny all\npinger_enable off\ncoredump_dir {folder_path}\n\
            visible_hostname proxy.test\nshutdown_lifetime 0 seconds\n\
            auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder_path}/users\n\
            auth_param basic children 1 startup=1\nacl users proxy_auth REQUIRED\nacl forbidden dstdomain forbidden.test\n\
            http_access deny !users\nhttp_access deny forbidden\nhttp_access allow CONNECT\nhttp_access deny all\n"
        );
        std::fs::write(folder.join("squid.conf"), config).unwrap();
        let mut command = Command::new("/usr/sbin/squid");
        command.arg("-N").arg("-f").arg(folder.join("squid.conf"));
        Self::start(command, address).await
    }

    async fn microsocks() -> Self {
        let address = unused_address();
        let mut command = Command::new("microsocks");
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        command.args(["-i", &host, "-p", &port, "-b", SOCKS_SOURCE]);
        command.args(["-u", "box", "-P", "p@ss:word%"]);
        Self::start(command, address).await
    }

    /// Starts a proxy, and waits until it listens at this address.
    async fn start(mut command: Command, address: SocketAddr) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?} fails, run ./tests/scripts/install.sh, which installs the proxies: {error}")
        });
        // Neither proxy says when it listens.
        within(async {
            while TcpStream::connect(address).await.is_err() {
                assert!(process.try_wait().unwrap().is_none(), "{command:?} has ended");
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Self { address, _process: process }
    }

    fn url(&self, scheme: &str, credentials: &str) -> String {
        format!("{scheme}://{credentials}@{}", self.address)
    }
}

/// An address of this process alone, because the proxies cannot choose a port by themselves. A port
/// of 127.0.0.1 that was free a moment ago may be that of another test now.
fn unused_address() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(3128);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 64 | high, middle, low], PORT.fetch_add(1, Ordering::Relaxed)))
}

/// A folder of its own for each proxy of this process.
fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("proxy-{number}"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A hub that logs the address and the `Host` header of each client.
struct Server {
    hub: Hub,
    port: u16,
    log: Log<(String, String)>,
}

impl Server {
    async fn plain() -> Self {
        Self::start(|upgrade, listener| {
            tokio::spawn(upgrade.serve(listener));
        })
        .await
    }

    async fn tls(authority: &Authority) -> Self {
        let tls = Tls::new(authority.issue(&[STATION, "localhost"]).server());
        Self::start(|upgrade, listener| {
            tokio::spawn(upgrade.serve_tls(listener, tls));
        })
        .await
    }

    async fn start(serve: impl FnOnce(WsHandler<wsx::Untyped>, TcpListener)) -> Self {
        let (hub, log) = (Hub::new(), Log::default());
        let seen = log.clone();
        let upgrade = hub.ws_handler(
            move |request: Parts| {
                let peer = request.extensions.get::<PeerAddr>().map(|peer| peer.0.ip().to_string());
                let host = request.headers[HOST].to_str().unwrap().to_owned();
                seen.add((peer.unwrap_or_default(), host));
                async { Ok::<_, Rejection>("a".to_owned()) }
            },
            |_| {},
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        serve(upgrade, listener);
        Self { hub, port, log }
    }

    /// Connects a client to this host at the port of the server, sends a message there, and waits
    /// for its arrival.
    async fn is_reached(&self, client: ClientBuilder, source: &str, host: &str) {
        let client = connect(client).await.unwrap();
        assert_eq!(self.log.next().await, (source.to_owned(), format!("{host}:{}", self.port)));
        let arrived = Log::default();
        let log = arrived.clone();
        let conn = self.hub.connection("a").unwrap();
        conn.register_handler("__raw__", move |frame: wsx::RawFrame<'static>, _| {
            log.add(frame.as_text().unwrap_or_default().to_owned());
            async {}
        });
        client.connection().unwrap().send_bytes("hello").await.unwrap();
        assert_eq!(arrived.next().await, "hello");
        client.close();
        within(conn.closed()).await;
    }
}

/// Returns a client that goes through this proxy.
fn through(proxy: &str, url: String) -> ClientBuilder {
    Client::builder(url).proxy(Proxy::new(proxy).unwrap())
}

async fn connect(client: ClientBuilder) -> Result<Client, ConnectError> {
    within(client.reconnect(false).build()?.start(CancellationToken::new())).await
}

/// Connects in vain. Returns the status of the proxy, and the error in one line. It must not have
/// the password.
async fn rejected(client: ClientBuilder) -> (Option<StatusCode>, String) {
    let error = connect(client).await.unwrap_err();
    let ConnectError::Proxy { status, .. } = &error else { panic!("{error:?}") };
    assert!(!error.is_final() && !error.is_refusal());
    let shown = format!("{error:?} {}", chain(&error));
    assert!(!shown.contains("box:") && !shown.contains("ss:word"), "{shown}");
    (*status, chain(&error))
}

/// Row K12: both schemes go through an HTTP proxy, which resolves the name and checks the password.
#[tokio::test]
async fn a_client_goes_through_an_http_proxy() {
    let (squid, authority) = (Foreign::squid().await, Authority::default());
    let proxy = squid.url("http", CREDENTIALS);
    let (plain, tls) = (Server::plain().await, Server::tls(&authority).await);
    let url = format!("ws://{STATION}:{}/ws", plain.port);
    plain.is_reached(through(&proxy, url), "127.0.0.1", STATION).await;
    let url = format!("wss://{STATION}:{}/ws", tls.port);
    tls.is_reached(through(&proxy, url).tls(authority.client()), "127.0.0.1", STATION).await;
}

/// Row K12: both schemes go through a SOCKS5 proxy.
#[tokio::test]
async fn a_client_goes_through_a_socks_proxy() {
    let (microsocks, authority) = (Foreign::microsocks().await, Authority::default());
    let (plain, tls) = (Server::plain().await, Server::tls(&authority).await);
    for (scheme, host) in [("socks5", "127.0.0.1"), ("socks5h", "localhost")] {
        let url = format!("ws://{host}:{}/ws", plain.port);
        plain.is_reached(through(&microsocks.url(scheme, CREDENTIALS), url), SOCKS_SOURCE, host).await;
    }
    let url = format!("wss://localhost:{}/ws", tls.port);
    let client = through(&microsocks.url("socks5", CREDENTIALS), url).tls(authority.client());
    tls.is_reached(client, SOCKS_SOURCE, "localhost").await;
}

/// Row K12: a rejection of an HTTP proxy is an error of its own, with the status.
#[tokio::test]
async fn a_rejection_of_an_http_proxy_has_its_status() {
    let squid = Foreign::squid().await;
    let closed = unused_address().port();
    let station = format!("ws://{STATION}:{closed}/ws");
    for (proxy, url, status, why) in [
        (format!("http://{}", squid.address), &*station, 407, "write the user and the password into its URL"),
        (squid.url("http", "box:wrong"), &station, 407, "check the user and the password"),
        (squid.url("http", CREDENTIALS), "wss://forbidden.test/ws", 403, "403 Forbidden"),
        (squid.url("http", CREDENTIALS), &station, 503, "503 Service Unavailable"),
    ] {
        let (found, error) = rejected(through(&proxy, url.to_owned())).await;
        assert_eq!(found.map(|status| status.as_u16()), Some(status), "{error}");
        let address = if status == 403 { "forbidden.test:443" } else { &format!("{STATION}:{closed}") };
        let start = format!("cannot reach {address} through the proxy {}: it rejected", squid.address);
        assert!(error.starts_with(&start) && error.contains(why), "{error}");
    }
}

/// Row K12: a rejection of a SOCKS5 proxy is an error of its own, with the reason.
#[tokio::test]
async fn a_rejection_of_a_socks_proxy_says_why() {
    let microsocks = Foreign::microsocks().await;
    let url = format!("ws://{}/ws", unused_address());
    for (proxy, why) in [
        (format!("socks5://{}", microsocks.address), "it requires authentication: write the user and the password"),
        (microsocks.url("socks5", "box:wrong"), "it rejected the user or the password"),
        (microsocks.url("socks5", CREDENTIALS), "it rejected the connection with 5: connection refused"),
    ] {
        let (status, error) = rejected(through(&proxy, url.clone())).await;
        assert!(status.is_none() && error.contains(why), "{error}");
    }
}

/// Row K12: a proxy that is missing, or does not answer, is an error that names it. The wait is
/// within the handshake timeout.
#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_missing_or_silent_is_an_error_that_names_it() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap();
    let missing = unused_address();
    for scheme in ["http", "socks5"] {
        for (address, why) in [(missing, "Connection refused"), (silent_address, "no answer within 9.5s")] {
            let client = through(&format!("{scheme}://{address}"), "ws://a/ws".to_owned()).config(Config::default());
            let (status, error) = rejected(client).await;
            let start = format!("cannot reach a:80 through the proxy {address}: ");
            assert!(status.is_none() && error.starts_with(&start) && error.contains(why), "{error}");
        }
    }
}

/// Row K12: a proxy beside a connector is reported by `build`.
#[test]
fn a_proxy_beside_a_connector_is_reported_at_once() {
    let client = through("a", "ws://b/".to_owned()).connector(|_| TcpStream::connect("127.0.0.1:1"));
    assert!(client.build().unwrap_err().to_string().contains("`connector` dials in place of `proxy`"));
}

/// Row K12: the environment is read if the program says so, and only then.
#[tokio::test]
async fn the_environment_is_read_if_the_program_says_so() {
    let squid = Foreign::squid().await;
    let server = Server::plain().await;
    let url = format!("ws://{STATION}:{}/ws", server.port);
    for (arguments, variables, expected) in [
        (&["from-env"][..], &[("http_proxy", squid.url("http", CREDENTIALS))][..], "connected"),
        (&["from-env"], &[("All_Proxy", squid.url("http", CREDENTIALS))], "connected"),
        (
            &["from-env"],
            &[("ALL_PROXY", squid.url("http", CREDENTIALS)), ("no_proxy", "test".to_owned())],
            &format!("cannot reach {STATION}:{}: ", server.port),
        ),
        (&["from-env"], &[("HTTP_PROXY", "ftp://x".to_owned())], "the proxy cannot be built: the variable HTTP_PROXY"),
        (&[], &[("http_proxy", squid.url("http", CREDENTIALS))], &format!("cannot reach {STATION}:{}: ", server.port)),
    ] {
        let mut dial = Command::new(env!("CARGO_BIN_EXE_dial"));
        dial.env_clear().arg(&url).args(arguments).envs(variables.iter().cloned()).kill_on_drop(true);
        let output = String::from_utf8(within(dial.output()).await.unwrap().stdout).unwrap();
        assert!(output.starts_with(expected), "{variables:?}: {output}");
    }
}
