//! Row R6 of the specification: TCP's user timeout and keepalive, on the sockets of the server and of the client.
//!
//! A socket that its owner holds cannot be asked for its options, so the system's own table says that the keepalive runs,
//! and what the user timeout does is seen.
use socket2::SockRef;
use std::{fs, net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use wsx::{CancellationToken, Client, Closed, ClosedBy, Config, Connection, Hub};
use wsx_tests::{Server, query_id, within};

/// No other wait of the library may end a connection here.
fn patient() -> Config {
    Config::default().write_timeout(Duration::MAX)
}

fn hub(config: &Config) -> Hub {
    Hub::builder().config(config.clone()).without_handlers().build().unwrap()
}

async fn connected(url: String, config: &Config) -> Client {
    let client = Client::builder(url).config(config.clone()).reconnect(false).build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap()
}

/// The address as Linux's table has it: the bytes of the address in reverse, the port.
fn hexadecimal(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("the tests use IPv4") };
    format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port())
}

/// After how long the keepalive's next probe leaves, of each socket that one of these ports belongs to; `None` when another
/// timer runs, or none. By whether the port is the socket's own.
fn next_probes(port: u16) -> [Option<Duration>; 2] {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has a table of its sockets");
    let end = hexadecimal(SocketAddr::from(([127, 0, 0, 1], port)));
    let of = |column: usize| {
        let mut sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let established = sockets.find(|fields| fields[column] == end && fields[3] == "01")?;
        let (kind, hundredths) = established[5].split_once(':')?;
        (kind == "02").then(|| Duration::from_millis(10 * u64::from_str_radix(hundredths, 16).expect("a number")))
    };
    [of(1), of(2)]
}

/// Row R6: the keepalive runs at both ends.
#[tokio::test]
async fn both_ends_probe_an_idle_connection() {
    let config = patient().tcp_keepalive(Duration::from_secs(9_000), Duration::from_secs(10), 3);
    let server = Server::start(hub(&config)).await;
    let client = connected(server.url("box-7"), &config).await;
    let port = server.address.parse::<SocketAddr>().unwrap().port();
    let probes = within(async {
        loop {
            // Until its last bytes are acknowledged, another timer runs.
            if let [Some(of_server), Some(of_client)] = next_probes(port) {
                break [of_server, of_client];
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    for probe in probes.await {
        assert!(probe > Duration::from_secs(8_900) && probe <= Duration::from_secs(9_000), "{probe:?}");
    }
    client.close();
}

/// Row R6: the system's default is left alone unless asked.
#[tokio::test]
async fn nobody_probes_by_default() {
    assert_eq!((Config::default().tcp_user_timeout, Config::default().tcp_keepalive), (None, None));
    let server = Server::start(hub(&patient())).await;
    let client = connected(server.url("box-7"), &patient()).await;
    // Time for the handshake to be acknowledged.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(next_probes(server.address.parse::<SocketAddr>().unwrap().port()), [None, None]);
    client.close();
}

/// Row R6: hyper's sockets, which the test can look at, as it accepts them itself.
#[tokio::test]
async fn a_socket_of_hyper_has_the_options_too() {
    let config = patient().tcp_user_timeout(Duration::from_secs(25)).tcp_keepalive(
        Duration::from_secs(60),
        Duration::from_secs(10),
        3,
    );
    let hub = hub(&config);
    let door = hub.ws_handler(query_id, |_| {});
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let socket = listener.accept().await.unwrap().0.into_std().unwrap();
        let same = socket.try_clone().unwrap();
        let io = hyper_util::rt::TokioIo::new(TcpStream::from_std(socket).unwrap());
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, door).with_upgrades());
        same
    });
    let client = connected(format!("ws://{address}/ws?id=box-7"), &patient()).await;
    let socket = within(serving).await.unwrap();
    let socket = SockRef::from(&socket);
    within(async {
        // The upgrade is taken in a task of its own.
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

/// Sends until the connection ends, and says how it did.
async fn sent_until_the_end(conn: Connection) -> Closed {
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

/// Row R6: what a server has written and nobody takes ends its connection, though its own write timeout is endless.
#[tokio::test]
async fn the_user_timeout_ends_a_servers_connection() {
    let server = Server::start(hub(&patient().tcp_user_timeout(Duration::from_millis(300)))).await;
    let _reads_nothing = server.peer("box-7").await;
    assert_timed_out(&sent_until_the_end(server.hub.connection("box-7").unwrap()).await);
}

/// Row R6: and so for a client.
#[tokio::test]
async fn the_user_timeout_ends_a_clients_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(socket).await.unwrap()
    });
    let client = connected(url, &patient().tcp_user_timeout(Duration::from_millis(300))).await;
    let _reads_nothing = within(serving).await.unwrap();
    assert_timed_out(&sent_until_the_end(client.connection().unwrap()).await);
}
