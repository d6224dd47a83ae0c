//! Measures row P1 of the specification: how long a small message takes from `send` until the
//! peer's socket has it, on loopback, with one connection and messages of 2 KiB.
//!
//! ```text
//! cargo run --release -p wsx-programs --bin write_latency
//! ```
use std::time::{Duration, Instant};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};
use wsx::{Envelope, Hub};
use wsx_tests::{
    Server,
    handshake::{head, upgrade},
};

const MESSAGES: usize = 20_000;
const LENGTH: usize = 2000;

#[derive(wsx::Endpoint)]
struct Station;

#[tokio::main]
async fn main() {
    let server = Server::start(
        Hub::builder()
            .endpoint(Station)
            .without_handlers()
            .build()
            .expect("a hub without handlers has nothing to check"),
    )
    .await;
    let mut tcp = TcpStream::connect(&server.address).await.expect("the server listens");
    tcp.write_all(upgrade("/ws?id=a", "").as_bytes()).await.expect("the server reads");
    head(&mut tcp).await;
    let message = Envelope::with_type("telemetry", "x".repeat(LENGTH));
    let mut took = Vec::with_capacity(MESSAGES);
    let mut frame = Vec::new();
    for _ in 0..MESSAGES {
        let start = Instant::now();
        server.hub.send_to("a", &message).await.expect("the peer is in the hub");
        let header = [tcp.read_u8().await, tcp.read_u8().await].map(|byte| byte.expect("the frame has a header"));
        assert_eq!(header, [0x81, 126]);
        let length = usize::from(tcp.read_u16().await.expect("the frame has a length"));
        frame.resize(length, 0);
        tcp.read_exact(&mut frame).await.expect("the frame has a payload");
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let at = |share: f64| took[((MESSAGES - 1) as f64 * share) as usize];
    println!("{MESSAGES} messages of {LENGTH} bytes: p50 {:?}, p95 {:?}, p99 {:?}", at(0.50), at(0.95), at(0.99));
    let goal = Duration::from_millis(2);
    let within_goal = took.iter().filter(|took| **took < goal).count();
    println!(
        "{:.2} % under {goal:?}; row P1 of the specification requires 95 %",
        within_goal as f64 * 100.0 / MESSAGES as f64
    );
}
