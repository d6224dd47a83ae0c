//! MQTT with `QoS` 1: mosquitto from Debian, and rumqttc at both ends. Nothing is kept on a disk.
use super::{Fault, Reading, Receiving, Sender, WAITING, WINDOW, Work, say};
use crate::{
    peers::{self, CommandLine},
    process::Process,
};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS};
use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::watch;

const TOPIC: &str = "reading";
/// Not every user has this folder on the path.
const MOSQUITTO: &str = "/usr/sbin/mosquitto";
const START: Duration = Duration::from_secs(10);

/// Whether there is a broker to start.
pub(super) fn is_installed() -> bool {
    Path::new(MOSQUITTO).exists()
}

/// Starts a broker on a free port.
pub(super) fn broker() -> Result<(Process, u16), Fault> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let path = env::temp_dir().join(format!("wsx-bench-mosquitto-{port}.conf"));
    fs::write(
        &path,
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n\
             set_tcp_nodelay true\nmax_inflight_messages {WINDOW}\nmax_queued_messages 0\n"
        ),
    )?;
    let arguments = vec!["-c".into(), path.to_string_lossy().into_owned()];
    let process = Process::start_anywhere(&CommandLine { program: MOSQUITTO.into(), arguments })?;
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if start.elapsed() > START {
            return Err("mosquitto does not listen".into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = fs::remove_file(&path);
    Ok((process, port))
}

/// Returns the version of the broker.
pub(super) fn version() -> Option<String> {
    peers::run("dpkg-query", &["--show", "--showformat=${Version}", "mosquitto"]).ok()
}

fn client(id: &str, work: Work) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", work.port);
    options.set_inflight(WINDOW).set_clean_session(true);
    let (client, mut events) = AsyncClient::new(options, WAITING);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    (client, events)
}

pub(super) async fn receive(work: Work) -> Result<(), Fault> {
    let (client, mut events) = client("receiver", work);
    client.subscribe(TOPIC, QoS::AtLeastOnce).await?;
    let mut receiving = Receiving::new(&work);
    loop {
        match events.poll().await? {
            Event::Incoming(Packet::SubAck(_)) => say("ready")?,
            Event::Incoming(Packet::Publish(publish)) => {
                receiving.handle(&serde_json::from_slice::<Reading>(&publish.payload)?)?;
            }
            _ => {}
        }
    }
}

/// The client that sends.
pub(super) struct Publisher {
    client: AsyncClient,
    sent: AtomicU64,
    /// The number of acknowledgements.
    acknowledged: watch::Receiver<u64>,
}

pub(super) async fn connect(work: Work) -> Result<impl Sender, Fault> {
    let (client, mut events) = client("sender", work);
    while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
    let (sender, acknowledged) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => sender.send_modify(|count| *count += 1),
                Ok(_) => {}
                // The comparison notices that the process has ended.
                Err(_) => std::process::exit(1),
            }
        }
    });
    Ok(Publisher { client, sent: 0.into(), acknowledged })
}

impl Sender for Publisher {
    async fn send(&self, reading: Reading) -> Result<(), Fault> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(self.client.publish(TOPIC, QoS::AtLeastOnce, false, serde_json::to_vec(&reading)?).await?)
    }

    async fn acknowledged(&self) -> Result<(), Fault> {
        let sent = self.sent.load(Ordering::Relaxed);
        self.acknowledged.clone().wait_for(|count| *count >= sent).await?;
        Ok(())
    }
}
