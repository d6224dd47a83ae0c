//! Thousands of raw clients of a server that shuts down while messages to each of them are queued,
//! and messages from them are on their way: what the clients receive, and how long it takes. Row X7
//! of the specification.
//!
//! ```text
//! cargo run --release -p wsx-programs --bin mass_shutdown -- --clients 10000
//! ```
//!
//! The server is a process of its own, because one process may not have enough descriptors for both
//! ends. Its send buffers and the clients' receive buffers are small, and the clients start to read
//! late. So most of the messages are in the hub's queues when the shutdown starts. `tests/run.sh`
//! runs a short form, `tests/long.sh` the whole one. The program fails when a client misses a
//! message or the close code, gets a reset, or is cut off by the shutdown, and when the server
//! loses a message of a client.
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
    time::timeout,
};
use wsx::{Envelope, Hub};
use wsx_tests::handshake::{head, upgrade};

/// Grace period of the shutdown.
const GRACE: Duration = Duration::from_secs(5);
/// Time limit for everything else.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Messages to each client, and the bytes of padding in each.
const MESSAGES: usize = 64;
const PADDING: usize = 1000;
/// The message that each client sends when the shutdown starts, a masked text frame with a mask of
/// zeroes, and how often.
const NOTE: &[u8] = b"\x81\x98\0\0\0\0{\"type\":\"note\",\"data\":1}";
const NOTES: usize = 10;
/// Size of the socket buffers of a connection at each end, in bytes.
const BUFFER: u32 = 8 * 1024;
/// Clients that connect from one address, so that ports do not run out.
const PER_ADDRESS: usize = 4000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

static NOTED: AtomicUsize = AtomicUsize::new(0);

#[wsx::handler("note")]
fn on_note(_n: u32) {
    NOTED.fetch_add(1, Ordering::Relaxed);
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if arguments.iter().any(|argument| argument == "--serve") {
        return runtime.block_on(serve());
    }
    let at = arguments.iter().position(|argument| argument == "--clients");
    let clients = at.and_then(|at| arguments.get(at + 1)).map_or(Ok(10_000), |text| text.parse())?;
    runtime.block_on(run(clients))
}

/// Prints its address. On a line of input it queues messages to every connection, prints that, and
/// shuts down at once. Then it prints the result.
async fn serve() -> Result<(), Failure> {
    let hub = Hub::new();
    let socket = TcpSocket::new_v4()?;
    // Accepted sockets inherit the listener's buffer size.
    socket.set_send_buffer_size(BUFFER)?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(4096)?;
    println!("{}", listener.local_addr()?);
    let listening = tokio::spawn(hub.ws_handler(wsx::unique_id, |_| {}).serve(listener));
    tokio::task::spawn_blocking(|| io::stdin().read_line(&mut String::new())).await??;
    let clients = hub.len();
    for n in 0..MESSAGES {
        let accepted = hub.broadcast(&Envelope::with_type("item", (n, "x".repeat(PADDING)))).await?;
        if accepted != clients {
            return Err(format!("{accepted} of {clients} accepted message {n}").into());
        }
    }
    println!("queued");
    let start = Instant::now();
    let cut_off = hub.shutdown(GRACE).await;
    let took = start.elapsed();
    listening.await?;
    println!("{cut_off} {} {}", NOTED.load(Ordering::Relaxed), took.as_millis());
    Ok(())
}

async fn run(clients: usize) -> Result<(), Failure> {
    let program = std::env::current_exe()?;
    let mut server = Command::new(program).arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let result = campaign(clients, &mut server).await;
    if result.is_err() {
        // The server may have exited already.
        let _ = server.kill();
    }
    let status = server.wait()?;
    result?;
    if status.success() { Ok(()) } else { Err(format!("the server exited with {status}").into()) }
}

async fn campaign(clients: usize, server: &mut Child) -> Result<(), Failure> {
    let mut lines = BufReader::new(server.stdout.take().ok_or("no output")?).lines();
    let mut line = move || lines.next().ok_or("the server has exited")?.map_err(Failure::from);
    let address = line()?;
    let (start_reading, started) = watch::channel(false);
    let mut connecting = futures_util::stream::iter(0..clients).map(|n| connect(&address, n)).buffer_unordered(100);
    let mut peers = FuturesUnordered::new();
    while let Some(tcp) = connecting.next().await {
        let (tcp, mut started) = (tcp?, started.clone());
        peers.push(tokio::spawn(async move {
            let _ = started.wait_for(|started| *started).await;
            timeout(TIME_LIMIT, receive(tcp)).await.unwrap_or_default()
        }));
    }
    writeln!(server.stdin.as_mut().ok_or("no input")?)?;
    if line()? != "queued" {
        return Err("the server has not queued the messages".into());
    }
    start_reading.send_replace(true);
    let (mut closed, mut complete, mut clean) = (0, 0, 0);
    while let Some(received) = peers.next().await {
        let received = received?;
        closed += usize::from(received.code == Some(1001));
        complete += usize::from(received.in_order && received.messages == MESSAGES);
        clean += usize::from(received.clean);
    }
    let result = line()?;
    let [cut_off, noted, took] = result.split(' ').collect::<Vec<_>>()[..] else {
        return Err(format!("the server has printed {result:?}").into());
    };
    println!(
        "{clients} clients, {MESSAGES} messages of 1 KB queued for each: {closed} received 1001, {complete} received every message in order, \
        {} got a reset or no FIN, {cut_off} were cut off, {noted} of {} of their own messages were handled; it took {took} ms",
        clients - clean,
        clients * NOTES
    );
    let handled = noted.parse() == Ok(clients * NOTES);
    if (closed, complete, clean, cut_off, handled) == (clients, clients, clients, "0", true) {
        Ok(())
    } else {
        Err("the shutdown has lost messages or close frames".into())
    }
}

/// Returns a socket after its handshake.
async fn connect(address: &str, n: usize) -> Result<TcpStream, Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.bind(format!("127.0.0.{}:0", 1 + n / PER_ADDRESS).parse()?)?;
    let mut tcp = timeout(TIME_LIMIT, socket.connect(address.parse()?)).await??;
    tcp.write_all(upgrade("/ws", "").as_bytes()).await?;
    let head = head(&mut tcp).await;
    if head.starts_with("HTTP/1.1 101 ") { Ok(tcp) } else { Err(head.into()) }
}

/// What one client has received on its connection.
#[derive(Default)]
struct Received {
    messages: usize,
    in_order: bool,
    code: Option<u16>,
    /// Whether the stream ended with a FIN, without a reset.
    clean: bool,
}

/// Sends its messages, reads everything, and answers the close frame.
async fn receive(mut tcp: TcpStream) -> Received {
    let mut received = Received { in_order: true, ..Received::default() };
    if tcp.write_all(&NOTE.repeat(NOTES)).await.is_err() {
        return received;
    }
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        match tcp.read_buf(&mut bytes).await {
            Ok(0) => {
                // A reset that answers our close frame arrives after the FIN. Only this shows it.
                received.clean = bytes.is_empty() && matches!(tcp.take_error(), Ok(None));
                return received;
            }
            Ok(_) => {}
            Err(_) => return received,
        }
        let mut at = 0;
        while let Some((opcode, payload, length)) = frame(&bytes[at..]) {
            if opcode == 0x88 {
                received.code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                // 1001, with a mask of zeroes. The end of the stream shows whether it arrived.
                let _ = tcp.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await;
            } else {
                let expected = format!("\"data\":[{},", received.messages);
                received.in_order &= payload.windows(expected.len()).any(|window| window == expected.as_bytes());
                received.messages += 1;
            }
            at += length;
        }
        bytes.drain(..at);
    }
}

/// Returns the first frame if it is complete: its first byte, its payload, its length.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (start, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        length => (2, usize::from(length)),
    };
    Some((bytes[0], bytes.get(start..start + length)?, start + length))
}
