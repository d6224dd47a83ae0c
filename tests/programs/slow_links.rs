//! Long messages over very slow links: rows R1 and V1 of the specification. A slow link is not a
//! dead one. Prints a line for each rate, and fails when a connection breaks.
//!
//! ```text
//! tests/scripts/slow_links.sh 10,24,40,64
//! ```
//!
//! The script makes two networks, joined by a cable, and runs this program in the client's. It runs
//! itself again in the server's network, because the kernel counts the bytes of each network apart.
use std::{
    error::Error,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use wsx::{CancellationToken, Client, Config, Connection, Hub, RawFrame};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address, bytes, interval] => serve(address, bytes.parse()?, interval.parse()?).await,
        [server, client, rates, bytes, interval] => {
            for rate in rates.split(',') {
                slow_link([server, client], rate.parse()?, bytes, interval).await?;
            }
            Ok(())
        }
        _ => Err("usage: slow_links SERVER CLIENT RATE,RATE.. BYTES SECONDS".into()),
    }
}

/// The defaults, with a ping every `interval` seconds and a heartbeat timeout of 10 s. No timeout
/// is shorter: on these links the kernel may wait some seconds before it sends a lost packet again.
fn config(interval: u64) -> Config {
    Config::default()
        .heartbeat(Duration::from_secs(interval), Duration::from_secs(10))
        // A close waits for the queue, and a handshake for three packets.
        .close_timeout(Duration::from_secs(60))
        .handshake_timeout(Duration::from_secs(60))
}

/// Sends a message to the first client, and waits for one. Prints the port first, and then the time
/// until the message arrived.
async fn serve(address: &str, bytes: usize, interval: u64) -> Result<()> {
    let listener = TcpListener::bind((address, 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let hub = Hub::builder().config(config(interval)).without_handlers().build()?;
    let (connected, mut connections) = mpsc::unbounded_channel();
    let (arrived, mut arrival) = mpsc::channel(1);
    let upgrade = hub.ws_handler(wsx::unique_id, move |conn| {
        note_arrival(conn, bytes, arrived.clone());
        let _ = connected.send(conn.clone());
    });
    tokio::spawn(upgrade.serve(listener));
    let conn: Connection = connections.recv().await.ok_or("the listener ended")?;
    let start = Instant::now();
    conn.send_bytes("x".repeat(bytes)).await?;
    tokio::select! {
        Some(()) = arrival.recv() => println!("{:.1?}", start.elapsed()),
        closed = conn.closed() => return Err(format!("the server's end was {closed}").into()),
    }
    match conn.closed().await {
        closed if closed.code == wsx::CloseCode::NORMAL => Ok(()),
        closed => Err(format!("the server's end was {closed}").into()),
    }
}

/// Sends a message in both directions at once, over a link of `rate` kbit/s.
async fn slow_link(networks: [&str; 2], rate: u32, bytes: &str, interval: &str) -> Result<()> {
    for network in networks {
        let rate = format!("{rate}kbit");
        let change = ["-n", network, "qdisc", "change", "dev", "cable", "root", "tbf", "rate", &rate];
        let status = Command::new("tc").args(change).args(["burst", "3200", "latency", "400ms"]).status()?;
        if !status.success() {
            return Err(format!("tc: {status}").into());
        }
    }
    let (address, length) = ("192.0.2.1", bytes.parse()?);
    let program = std::env::current_exe()?;
    let mut server = Command::new("ip")
        .args(["netns", "exec", networks[0]])
        .arg(program)
        .args(["serve", address, bytes, interval])
        .stdout(Stdio::piped())
        .spawn()
        .map(Ended)?;
    let mut lines = BufReader::new(server.0.stdout.take().ok_or("the server has no output")?).lines();
    let port = lines.next().ok_or("the server ended")??;
    let client =
        Client::builder(format!("ws://{address}:{port}")).config(config(interval.parse()?)).reconnect(false).build()?;
    let (arrived, mut arrival) = mpsc::channel(1);
    client.connect(CancellationToken::new(), move |conn| note_arrival(conn, length, arrived.clone())).await?;
    let conn = client.connection().ok_or("the client is not connected")?;
    let start = Instant::now();
    conn.send_bytes("x".repeat(length)).await?;
    // Three times as long as the bytes alone need: packets have headers, and some are sent again.
    let limit = Duration::from_secs(60) + Duration::from_millis(3 * 8 * length as u64 / u64::from(rate));
    let to_client = tokio::select! {
        arrived = timeout(limit, arrival.recv()) => {
            arrived.map_err(|_| format!("{rate} kbit/s: nothing after {limit:?}"))?.ok_or("the handler is gone")?;
            start.elapsed()
        }
        closed = conn.closed() => return Err(format!("{rate} kbit/s: the client's end was {closed}").into()),
    };
    // Blocks this thread only when the client has nothing to do but close.
    let to_server = tokio::task::spawn_blocking(move || lines.next());
    let to_server = timeout(limit, to_server).await??.ok_or("the server ended")??;
    client.close();
    client.closed().await;
    println!(
        "{rate} kbit/s: {bytes} bytes arrived at the server after {to_server}, at the client after {to_client:.1?}"
    );
    Ok(())
}

/// A process that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reports the message of this length.
fn note_arrival(conn: &Connection, length: usize, arrived: mpsc::Sender<()>) {
    conn.register_handler("__raw__", move |frame: RawFrame<'_>, _| {
        let arrived = arrived.clone();
        let is_it = frame.as_bytes().len() == length;
        async move {
            if is_it {
                let _ = arrived.try_send(());
            }
        }
    });
}
