//! Row R6 of the specification: TCP's user timeout and keepalive, on the sockets of the server and
//! of the client.
//!
//! A test cannot read the options of a socket that wsx owns. Linux's table of sockets shows that
//! the keepalive runs, and the user timeout shows by its effect.
use socket2::SockRef;
use std::{fs, net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use wsx::{CancellationToken, Client, Closed, ClosedBy, Config, Connection, Hub};
use wsx_tests::{Server, query_id, within};

/// A configuration in which no other timeout closes the connection.
fn no_timeouts() -> Config {
    Config::default().write_timeout(Duration::MAX)
}

fn hub(config: &Config) -> Hub {
    Hub::builder().config(config.clone()).without_handlers().build().unwrap()
}

async fn connected(url: String, config: &Config) -> Client {
    let client = Client::builder(url).config(config.clone()).reconnect(false).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap()
}

/// Returns the address as in Linux's table: the bytes of the address in reverse order, then the
/// port.
fn hexadecimal(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("the tests use IPv4") };
    format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port())
}

/// Returns the time until the keepalive's next probe at both ends of the connection to this port,
/// the server's end first. `None` means that an end has no keepalive.
async fn next_probes(server: &Server<wsx::Untyped>) -> [Option<Duration>; 2] {
    let end = hexadecimal(server.address.parse().unwrap());
    within(async {
        loop {
            let table = fs::read_to_string("/proc/net/tcp").expect("Linux has this file");
            // The server's socket has this port as its own port, the client's socket as its peer's.
            if let [Some(of_server), Some(of_client)] = [1, 2].map(|column| next_probe(&table, column, &end)) {
                return [of_server, of_client];
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// Returns the time until the keepalive's next probe of the socket that has this address in this
/// column. Returns `None` until everything that the socket sent is acknowledged, because Linux
/// shows another timer until then.
fn next_probe(table: &str, column: usize, end: &str) -> Option<Option<Duration>> {
    let mut sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let established = sockets.find(|fields| fields[column] == end && fields[3] == "01")?;
    match established[5].split_once(':')? {
        ("00", _) => Some(None),
        ("02", hundredths) => {
            let hundredths = u64::from_str_radix(hundredths, 16).expect("a number");
            Some(Some(Duration::from_millis(10 * hundredths)))
        }
        _ => None,
    }
}

/// Row R6: the keepalive runs at both ends.
#[tokio::test]
async fn both_ends_probe_an_idle_connection() {
    let config = no_timeouts().tcp_keepalive(Duration::from_secs(9_000), Duration::from_secs(10), 3);
    let server = Server::start(hub(&config)).await;
    let client = connected(server.url("box-7"), &config).await;
    for probe in next_probes(&server).await {
        let probe = probe.expect("a keepalive");
        assert!(probe > Duration::from_secs(8_900) && probe <= Duration::from_secs(9_000), "{probe:?}");
    }
    client.close();
}

/// Row R6: without configuration the kernel's default stays.
#[tokio::test]
async fn keepalive_probes_are_off_by_default() {
    assert_eq!((Config::default().tcp_user_timeout, Config::default().tcp_keepalive), (None, None));
    let server = Server::start(hub(&no_timeouts())).await;
    let client = connected(server.url("box-7"), &no_timeouts()).await;
    assert_eq!(next_probes(&server).await, [None, None]);
    client.close();
}

/// Row R6: hyper's sockets have the options too. This test accepts the socket itself, so it can
/// read them.
#[tokio::test]
async fn a_socket_of_hyper_has_the_options_too() {
    let config = no_timeouts().tcp_user_timeout(Duration::from_secs(25)).tcp_keepalive(
        Duration::from_secs(60),
        Duration::from_secs(10),
        3,
    );
    let hub = hub(&config);
    let upgrade = hub.ws_handler(query_id, |_| {});
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let socket = listener.accept().await.unwrap().0.into_std().unwrap();
        let same = socket.try_clone().unwrap();
        let io = hyper_util::rt::TokioIo::new(TcpStream::from_std(socket).unwrap());
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, upgrade).with_upgrades());
        same
    });
    let client = connected(format!("ws://{address}/ws?id=box-7"), &no_timeouts()).await;
    let socket = within(serving).await.unwrap();
    let socket = SockRef::from(&socket);
    within(async {
        // A task of its own takes the upgraded socket.
        while !socket.keepalive().unwrap() || socket.tcp_user_timeout().unwrap() != Some(Duration::from_secs(25)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    client.close();
}

/// Sends until the connection is closed, and returns how it closed.
async fn send_until_closed(conn: Connection) -> Closed {
    within(async {
        while conn.send_binary(vec![0; 1 << 20]).await.is_ok() {}
        conn.closed().await
    })
    .await
}

fn assert_timed_out(closed: &Closed) {
    assert_eq!((u16::from(closed.code), closed.by), (1006, ClosedBy::Link));
    assert!(closed.reason.contains("timed out"), "{closed}");
}

/// Row R6: bytes that the server has written and the peer does not acknowledge end the connection,
/// although the write timeout is endless.
#[tokio::test]
async fn the_user_timeout_ends_a_servers_connection() {
    let server = Server::start(hub(&no_timeouts().tcp_user_timeout(Duration::from_millis(300)))).await;
    let _reads_nothing = server.peer("box-7").await;
    assert_timed_out(&send_until_closed(server.hub.connection("box-7").unwrap()).await);
}

/// Row R6: the same for a client.
#[tokio::test]
async fn the_user_timeout_ends_a_clients_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(socket).await.unwrap()
    });
    let client = connected(url, &no_timeouts().tcp_user_timeout(Duration::from_millis(300))).await;
    let _reads_nothing = within(serving).await.unwrap();
    assert_timed_out(&send_until_closed(client.connection().unwrap()).await);
}
