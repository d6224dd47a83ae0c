//! What counts as a sign of life, and that a close code is read and delivered before a verdict on
//! the link.
use futures_util::{SinkExt, StreamExt};
use socket2::SockRef;
use std::{
    io::{Read, Write},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpListener,
    process::{ChildStdin, ChildStdout},
    task::JoinSet,
    time::sleep,
};
use tokio_tungstenite::tungstenite::Message;
use wsx::{CancellationToken, Client, ClosedBy, Config, Envelope, Hub};
use wsx_tests::{
    Peer, Server,
    frame::masked_frame,
    handshake::{GOOD, accepted, ask, completed, head, upgrade as upgrade_request},
    weak_link::{WeakLink, Weakness},
    within,
};

const MILLISECOND: Duration = Duration::from_millis(1);

fn hub(config: Config) -> Hub<wsx::Untyped> {
    Hub::builder().config(config).without_handlers().build().unwrap()
}

/// Row R1: a peer that takes a long message is alive, although it sends nothing. When it has taken
/// everything and still sends nothing, it is lost.
#[tokio::test]
async fn a_peer_that_takes_a_long_message_is_not_silent() {
    const LENGTH: usize = 2 << 20;
    let config = Config::default().heartbeat(200 * MILLISECOND, 200 * MILLISECOND);
    let server = Server::start(hub(config)).await;
    // Two seconds for the message.
    let link = WeakLink::start(&server.address, Weakness { rate: Some(1 << 20), ..Weakness::default() });
    let peer = Peer::connect(&link.url(&server.url("a"))).await;
    let conn = server.hub.connection("a").unwrap();
    conn.send(&Envelope::with_type("long", "x".repeat(LENGTH))).await.unwrap();
    let mut socket = peer.0.into_inner();
    let (mut taken, mut buffer) = (0, vec![0; 64 * 1024]);
    while taken < LENGTH {
        let read = within(socket.read(&mut buffer)).await.unwrap();
        assert_ne!(read, 0, "cut after {taken} bytes: {}", conn.closed().await);
        taken += read;
    }
    let closed = within(conn.closed()).await;
    assert!(closed.by == ClosedBy::Link && closed.reason.contains("silent"), "{closed}");
}

/// Rows R1, V1: a peer that takes nothing and answers nothing is cut, in the middle of a message.
#[tokio::test]
async fn a_peer_that_takes_nothing_and_answers_nothing_is_cut() {
    let config = Config::default().heartbeat(200 * MILLISECOND, 200 * MILLISECOND).write_timeout(500 * MILLISECOND);
    let server = Server::start(hub(config)).await;
    let link = WeakLink::start(&server.address, Weakness::default());
    let _peer = Peer::connect(&link.url(&server.url("a"))).await;
    let conn = server.hub.connection("a").unwrap();
    link.fall_silent();
    conn.send(&Envelope::with_type("long", "x".repeat(2 << 20))).await.unwrap();
    let closed = within(conn.closed()).await;
    assert!(closed.by == ClosedBy::Link && closed.reason.contains("taken nothing"), "{closed}");
}

/// Sets the socket so that dropping it sends a reset.
fn reset_on_drop(tcp: &tokio::net::TcpStream) {
    SockRef::from(tcp).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Rows C5, R2: a client that writes finds the close frame before the reset that follows it.
#[tokio::test]
async fn a_client_reads_the_close_frame_before_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    for _ in 0..50 {
        let client = Client::builder(&url).reconnect(false).build().unwrap();
        let server = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let answer = completed(&mut tcp, GOOD).await.unwrap();
            tcp.write_all(answer.as_bytes()).await.unwrap();
            // The client is writing, and this end does not read.
            while tcp.try_read(&mut [0]).is_err() {
                tokio::task::yield_now().await;
            }
            tcp.write_all(b"\x88\x02\x03\xf0").await.unwrap();
            reset_on_drop(&tcp);
        };
        let client = async {
            within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
            let conn = client.connection().unwrap();
            while conn.send(&Envelope::with_type("long", "x".repeat(16 * 1024))).await.is_ok() {}
            within(conn.closed()).await
        };
        let (closed, ()) = tokio::join!(client, server);
        assert_eq!((u16::from(closed.code), closed.by), (1008, ClosedBy::Peer), "{closed}");
    }
}

/// Row C5: the same at a hub.
#[tokio::test]
async fn a_hub_reads_the_close_frame_before_a_reset() {
    let server = Server::start(hub(Config::default())).await;
    for _ in 0..50 {
        let peer = server.peer("a").await;
        let conn = server.hub.connection("a").unwrap();
        let writing = {
            let conn = conn.clone();
            tokio::spawn(async move {
                while conn.send(&Envelope::with_type("long", "x".repeat(16 * 1024))).await.is_ok() {}
            })
        };
        let mut tcp = peer.0.into_inner();
        while tcp.try_read(&mut [0]).is_err() {
            tokio::task::yield_now().await;
        }
        tcp.write_all(b"\x88\x82\0\0\0\0\x03\xf0").await.unwrap();
        reset_on_drop(&tcp);
        drop(tcp);
        let closed = within(conn.closed()).await;
        assert_eq!((u16::from(closed.code), closed.by), (1008, ClosedBy::Peer), "{closed}");
        within(writing).await.unwrap();
    }
}

/// Rows C5, R5: the code for a message that is too long reaches a peer that writes the whole
/// message before it reads.
#[tokio::test]
async fn the_code_for_a_long_message_reaches_a_peer_that_writes_first() {
    let server = Server::start(hub(Config::default())).await;
    for (length, times) in [((42 << 20) / 10, 20), (8 << 20, 20), (64 << 20, 5)] {
        for time in 0..times {
            let address = server.address.clone();
            let code = tokio::task::spawn_blocking(move || {
                let mut tcp = ask(&address, &format!("/ws?id={length}-{time}"))?;
                accepted(&mut tcp)?;
                tcp.write_all(&masked_frame(0x82, &vec![0; length]))?;
                let mut close = [0; 4];
                tcp.read_exact(&mut close)?;
                Ok::<_, std::io::Error>(u16::from_be_bytes([close[2], close[3]]))
            });
            let code = within(code).await.unwrap();
            assert_eq!(code.unwrap(), 1009, "time {time} of {length} bytes");
        }
    }
}

/// Rows C5, R5: the code for a long message also reaches a peer on a slow link, which writes for
/// longer than a second after the rejection.
#[tokio::test(start_paused = true)]
async fn the_code_for_a_long_message_reaches_a_peer_that_writes_slowly() {
    let upgrade = hub(Config::default()).ws_handler(wsx::unique_id, |_| {});
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let serving = tokio::spawn(async move { upgrade.serve_connection(near, None).await });
    far.write_all(upgrade_request("/ws", "").as_bytes()).await.unwrap();
    head(&mut far).await;
    let conn = serving.await.unwrap().unwrap();
    let frame = masked_frame(0x82, &[b'x'; 3 << 20]);
    // Eight seconds for the message.
    for part in frame.chunks(frame.len() / 16) {
        far.write_all(part).await.unwrap();
        sleep(500 * MILLISECOND).await;
    }
    let mut answer = Vec::new();
    within(far.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer[..4], [0x88, answer[1], 0x03, 0xf1], "{answer:?}");
    assert_eq!(u16::from(conn.closed().await.code), 1009);
}

/// The server `subject` in a process of its own.
struct Subject {
    child: tokio::process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Subject {
    async fn start(options: &[&str]) -> Self {
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_subject"))
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("cargo builds it for this test");
        let input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = within(output.next_line()).await.unwrap().expect("a line");
        let url = line.strip_prefix("listening on ").expect("a URL").to_owned();
        Self { child, input, output, url }
    }

    async fn ask(&mut self, line: &str) -> String {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        within(self.output.next_line()).await.unwrap().expect("an answer")
    }

    /// Stops the process, as a debugger or a hypervisor does, or lets it go on.
    async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let status = tokio::process::Command::new("kill").args([signal, &id]).status().await.unwrap();
        assert!(status.success());
    }

    async fn stop(&self, time: Duration) {
        self.signal("-STOP").await;
        sleep(time).await;
        self.signal("-CONT").await;
    }
}

/// Row R1: a process that was stopped finds the answers of its peers before it judges them.
///
/// Linux interrupts the wait for the sockets when it stops a process. So the runtime checks its
/// timers first, and then its sockets. More than 1,024 sockets need several turns; the tests of
/// `deadline.rs` and `heartbeat.rs` prove that a verdict waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_does_not_cut_peers_that_answer() {
    const PEERS: usize = 20;
    const INTERVAL: u32 = 3000;
    let subject = Subject::start(&["--heartbeat", &INTERVAL.to_string()]).await;
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        peers.push(Peer::connect(&subject.url).await.0);
    }
    for peer in &mut peers {
        // The answer leaves with the next message.
        assert!(matches!(within(peer.next()).await, Some(Ok(Message::Ping(_)))));
    }
    subject.signal("-STOP").await;
    for peer in &mut peers {
        peer.send(Message::Ping("alive".into())).await.unwrap();
    }
    // Longer than the timeout.
    sleep((INTERVAL / 2 + 100) * MILLISECOND).await;
    subject.signal("-CONT").await;
    for peer in &mut peers {
        let answer = within(peer.next()).await;
        assert!(matches!(&answer, Some(Ok(Message::Pong(_)))), "{answer:?}");
    }
}

/// Rows V1, R13: the same for peers that read, while messages to them are partly written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_does_not_cut_peers_that_read() {
    const PEERS: usize = 40;
    let mut subject = Subject::start(&["--write-timeout", "800"]).await;
    let mut peers = JoinSet::new();
    for _ in 0..PEERS {
        let mut socket = Peer::connect(&subject.url).await.0.into_inner();
        peers.spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                sleep(20 * MILLISECOND).await;
            }
        });
    }
    // Most of the time a message to each peer is partly written. The peers read a little faster.
    subject.ask("broadcast 4 4 500000").await;
    for _ in 0..2 {
        sleep(300 * MILLISECOND).await;
        subject.stop(1200 * MILLISECOND).await;
    }
    sleep(300 * MILLISECOND).await;
    assert_eq!(subject.ask("connections").await, PEERS.to_string());
}
