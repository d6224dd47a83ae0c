//! A hub whose metrics Prometheus reads, and boxes that keep it busy.
//!
//! ```text
//! cargo run --release -p wsx-examples --bin prometheus
//! curl http://127.0.0.1:9464/metrics
//! ```
//!
//! `examples/grafana/wsx.json` is a dashboard of these metrics, and `docs/observability.md`
//! explains them. The boxes are in the same process, so the metrics have both sides, `hub` and
//! `client`. A program of your own has one of them.
use clap::Parser;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{interval, sleep, timeout},
};
use tracing_subscriber::filter::LevelFilter;
use wsx::{
    Backoff, BoxError, CancellationToken, Client, Config, Connection, Hub, MetricsObserver, Rejection, TracingObserver,
    http::{StatusCode, request::Parts},
};

/// A hub whose metrics Prometheus reads, and boxes that keep it busy.
#[derive(Parser)]
struct Arguments {
    /// The address of the hub.
    #[arg(long, default_value = "127.0.0.1:9001")]
    hub: SocketAddr,
    /// The address of the metrics, for Prometheus.
    #[arg(long, default_value = "127.0.0.1:9464")]
    metrics: SocketAddr,
    /// The number of boxes.
    #[arg(long, default_value_t = 20)]
    boxes: u32,
}

/// The upper ends of the buckets for the time of handlers, in seconds.
const BUCKETS: [f64; 12] = [1e-6, 1e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];
/// How often the recorder puts its samples into the buckets. Without it, they take memory until the
/// next scrape.
const UPKEEP: Duration = Duration::from_secs(5);
/// Maximum length of a request for the metrics, in bytes.
const MAX_REQUEST: usize = 8 * 1024;
/// How long a peer may take to send a request for the metrics, and to receive the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Telemetry {
    celsius: f64,
}
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Measure {
    millis: u64,
}
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Measured {
    millis: u64,
}
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Tick {
    boxes: usize,
}
/// A message that the hub does not know.
#[derive(serde::Serialize, wsx::Message)]
struct FromTheFuture {
    n: u32,
}

/// A kept message that the hub does not know.
#[derive(serde::Serialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct KeptForNobody {
    n: u32,
}
/// A kept message that is worthless after a moment.
#[derive(serde::Serialize, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "1ms")]
struct Brief {
    n: u32,
}

#[derive(wsx::Endpoint)]
struct Station;

#[wsx::handler(on = Station)]
fn on_telemetry(telemetry: Telemetry) -> Result<(), String> {
    if telemetry.celsius > 90.0 { Err(format!("{} °C cannot be right", telemetry.celsius)) } else { Ok(()) }
}

#[wsx::handler(on = Station)]
async fn on_measure(measure: Measure) -> Measured {
    sleep(Duration::from_millis(measure.millis)).await;
    Measured { millis: measure.millis }
}

#[derive(wsx::Endpoint)]
struct EdgeBox;

#[wsx::handler(on = EdgeBox)]
fn on_tick(_tick: Tick) {}

#[wsx::handler(on = EdgeBox)]
fn on_measured(_measured: Measured) {}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Arguments { hub: at, metrics, boxes } = Arguments::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(LevelFilter::WARN).init();
    // Before the first observer, which asks for its counters.
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("wsx_handler_seconds".to_owned()), &BUCKETS)?
        .install_recorder()?;
    let listener = TcpListener::bind(metrics).await?;
    println!("metrics: http://{}/metrics", listener.local_addr()?);
    tokio::spawn(serve_metrics(listener, recorder));

    // The first observer counts, and the second one makes spans and events for the subscriber.
    let observer = (MetricsObserver::new(), TracingObserver::new());
    let hub = Hub::builder().endpoint(Station).config(Config::edge()).observer(observer).build()?;
    let listener = TcpListener::bind(at).await?;
    let url = format!("ws://{}/ws", listener.local_addr()?);
    println!("hub: {url}");
    for n in 0..boxes {
        tokio::spawn(run_box(format!("{url}?id=box-{n}"), n));
    }
    tokio::spawn(tick(hub.clone()));
    hub.ws_handler(id, |_| {}).serve(listener).await;
    Ok(())
}

async fn id(request: Parts) -> Result<String, Rejection> {
    let id = request.uri.query().and_then(|query| query.strip_prefix("id="));
    id.map(str::to_owned).ok_or(Rejection::new(StatusCode::BAD_REQUEST, "no id"))
}

/// Tells all boxes how many they are, each second.
async fn tick(hub: Hub<Station>) {
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        if hub.broadcast(&Tick { boxes: hub.len() }).await.is_err() {
            return;
        }
    }
}

/// A box that sends, loses its connection now and then, and makes a few mistakes.
async fn run_box(url: String, n: u32) {
    let backoff = Backoff::default().initial(Duration::from_millis(200));
    let without_id = url.split('?').next().unwrap_or_default().to_owned();
    let build = |url| {
        let builder = Client::builder(url).endpoint(EdgeBox).config(Config::edge()).backoff(backoff.clone());
        builder.observer(MetricsObserver::new()).build()
    };
    let (Ok(client), Ok(stranger)) = (build(url), build(without_id)) else { return };
    // It is rejected again and again.
    if n == 0 {
        tokio::spawn(async move { stranger.start(CancellationToken::new()).await });
    }
    if client.start(CancellationToken::new()).await.is_err() {
        return;
    }
    let mut turns = interval(Duration::from_millis(50));
    // Each box is at another place of the same story.
    for turn in n * 37.. {
        turns.tick().await;
        // Between two connections, a send returns an error.
        let _ = match turn % 100 {
            10 => client.send(&FromTheFuture { n }).await,
            30 => client.send(&KeptForNobody { n }).await,
            20 => client.send(&Telemetry { celsius: 451.0 }).await,
            turn if turn % 5 == 0 => client.send(&Measure { millis: u64::from(turn % 40) }).await,
            _ => client.send(&Telemetry { celsius: 21.5 }).await,
        };
        if turn % 250 == 240 {
            client.connection().iter().for_each(Connection::close);
            // It expires before the next connection.
            let _ = client.send(&Brief { n }).await;
        }
    }
}

/// Answers each request for `/metrics`.
async fn serve_metrics(listener: TcpListener, recorder: PrometheusHandle) {
    let mut upkeep = interval(UPKEEP);
    loop {
        let accepted = tokio::select! {
            _ = upkeep.tick() => {
                recorder.run_upkeep();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        // Without a free file descriptor, this waits a moment and tries again.
        let Ok((stream, _)) = accepted else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let recorder = recorder.clone();
        tokio::spawn(timeout(REQUEST_TIMEOUT, async move { answer(stream, &recorder).await }));
    }
}

/// Reads one request, and answers it.
async fn answer(mut stream: TcpStream, recorder: &PrometheusHandle) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < MAX_REQUEST {
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            n => request.extend_from_slice(&bytes[..n]),
        }
    }
    let (status, body) = match request.starts_with(b"GET /metrics ") {
        true => ("200 OK", recorder.render()),
        false => ("404 Not Found", "there is only /metrics\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await
}
