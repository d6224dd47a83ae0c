//! The options of wsx, compared in one process: a hub and a client on loopback. What compression
//! took and saved is what the library reports to its observer.
use crate::{deflate::samples::Samples, load::Fault, report::number, statistics::median};
use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Notify};
use wsx::{
    CancellationToken, Client, Config, Connection, Deflate, Envelope, Hub, Interest, Observer,
    connection::{Compression, Direction},
};

/// Time in which all messages arrive.
const LONGEST: Duration = Duration::from_secs(60);

/// One way of compression at one end.
#[derive(Debug, Default, Clone)]
struct Work {
    wire_bytes: u64,
    plain_bytes: u64,
    /// The time of a message in each report, in microseconds. Their median has no report in which
    /// another program of the machine had the core.
    times: Vec<f64>,
}

/// What one end has sent and received.
#[derive(Debug, Default, Clone)]
struct Counts(Arc<Mutex<[Work; 2]>>);

impl Counts {
    fn of(&self, direction: Direction) -> Work {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(direction == Direction::Received)].clone()
    }
}

impl Observer for Counts {
    fn interest(&self) -> Interest {
        Interest::nothing().with_messages()
    }

    fn messages_compressed(&self, _: &Connection, compression: &Compression) {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let work = &mut both[usize::from(compression.direction == Direction::Received)];
        work.wire_bytes += compression.wire_bytes;
        work.plain_bytes += compression.plain_bytes;
        work.times.push(compression.elapsed.as_secs_f64() * 1e6 / compression.messages as f64);
    }
}

/// Sends the messages from a client to a hub, all with the same options. Returns what the sender
/// and the receiver did.
async fn run(options: Deflate, messages: &[String]) -> Result<[Work; 2], Fault> {
    let fault = |error: &dyn std::fmt::Display| Fault(error.to_string());
    let (sender, receiver, arrived) = (Counts::default(), Counts::default(), Arc::new(Notify::new()));
    let config = Config::default().deflate(options);
    let notify = arrived.clone();
    let hub = Hub::builder()
        .config(config.clone())
        .observer(receiver.clone())
        .on("mark", move |_: Envelope, _: Connection| {
            notify.notify_one();
            std::future::ready(())
        })
        .build()
        .map_err(|error| fault(&error))?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("ws://{}/ws", listener.local_addr()?);
    let serving = tokio::spawn(hub.ws_handler(wsx::unique_id, |_| {}).serve(listener));
    let client = Client::builder(url)
        .config(config)
        .observer(sender.clone())
        .build()
        .map_err(|error| fault(&error))?
        .start(CancellationToken::new())
        .await
        .map_err(|error| fault(&error))?;
    let conn = client.connection().ok_or_else(|| Fault("the client is not connected".into()))?;
    for message in messages {
        conn.send_bytes(message).await.map_err(|error| fault(&error))?;
        // The task of the connection compresses it, and reports it alone.
        tokio::task::yield_now().await;
    }
    conn.send_bytes(r#"{"type":"mark","data":{}}"#).await.map_err(|error| fault(&error))?;
    tokio::time::timeout(LONGEST, arrived.notified()).await.map_err(|error| fault(&error))?;
    client.close();
    client.closed().await;
    hub.shutdown(LONGEST).await;
    serving.await.map_err(|error| fault(&error))?;
    Ok([sender.of(Direction::Sent), receiver.of(Direction::Received)])
}

/// Runs all settings in each round, with one thread. Returns the results of each setting.
fn rounds(rounds: usize, settings: &[(Deflate, Vec<String>)]) -> Result<Vec<Vec<[Work; 2]>>, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut results = vec![Vec::new(); settings.len()];
    // One more round, which is not measured.
    for round in 0..=rounds {
        for at in 0..settings.len() {
            let at = if round % 2 == 0 { at } else { settings.len() - 1 - at };
            let (options, messages) = &settings[at];
            let result = runtime.block_on(run(*options, messages))?;
            if round > 0 {
                results[at].push(result);
            }
        }
    }
    Ok(results)
}

/// Returns the cells of a result: bytes, and the time at the sender and at the receiver.
fn cells(results: &[[Work; 2]], plain: usize) -> [String; 3] {
    // What was not compressed was sent as it is.
    let wire = |[sent, _]: &[Work; 2]| plain as f64 - (sent.plain_bytes - sent.wire_bytes) as f64;
    let percent = median(results.iter().map(|result| wire(result) * 100.0 / plain as f64));
    let time = |at: usize| median(results.iter().flat_map(|result| &result[at].times).copied());
    [percent, time(0), time(1)].map(|value| value.map_or_else(|| "–".to_owned(), number))
}

/// Returns the table of windows, contexts and levels, for what a box sends and for what pages get.
pub(super) fn windows(count: usize) -> Result<String, Fault> {
    let both = [Samples::Telemetry, Samples::Changes].map(|samples| {
        let lines: Vec<String> = samples.lines().into_iter().map(str::to_owned).collect();
        // As many of both kinds, so that the times are as exact.
        lines.iter().cycle().take(500).cloned().collect::<Vec<_>>()
    });
    let mut settings = Vec::new();
    for bits in [9, 10, 12, 15] {
        for context in [false, true] {
            for level in [1, 6, 9] {
                let options =
                    Deflate::default().client_window_bits(bits).client_context(context).level(level).min_size(0);
                settings.extend(both.iter().map(|messages| (options, messages.clone())));
            }
        }
    }
    let results = rounds(count, &settings)?;
    let length = |messages: &[String]| messages.iter().map(String::len).sum::<usize>();
    let mean = |messages: &[String]| length(messages) / messages.len();
    let mut out = format!(
        "| window | context | level | telemetry, {} B | compress µs | inflate µs | changes, {} B | compress µs | inflate µs |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|\n",
        mean(&both[0]),
        mean(&both[1])
    );
    for (settings, results) in settings.chunks(2).zip(results.chunks(2)) {
        let Deflate { client_window_bits, client_context, level, .. } = settings[0].0;
        let context = if client_context { "yes" } else { "no" };
        let [first, second] = [0, 1].map(|at| cells(&results[at], length(&settings[at].1)));
        let (first, second) = (
            format!("{} % | {} | {}", first[0], first[1], first[2]),
            format!("{} % | {} | {}", second[0], second[1], second[2]),
        );
        let _ = writeln!(out, "| {client_window_bits} | {context} | {level} | {first} | {second} |");
    }
    Ok(out)
}

/// Returns the table of short messages: each length with and without a context.
pub(super) fn short(count: usize) -> Result<String, Fault> {
    let mut kinds: Vec<(&str, Vec<String>)> = Vec::new();
    // An envelope without data is the shortest one. It has about 46 bytes.
    let envelope = |message_type: &str, n: usize, data: &str| {
        format!(r#"{{"ver":1,"type":"{message_type}","ts":{},"data":{data}}}"#, 1_796_069_622 + n / 5)
    };
    kinds.push(("without data", (0..500).map(|n| envelope("ok", n, "{}")).collect()));
    kinds.push((
        "a number",
        (0..500).map(|n| envelope("reading", n, &format!(r#"{{"t":{}}}"#, 200 + n * 7 % 40))).collect(),
    ));
    let cycle = |name: &str| {
        let chosen = Samples::Orders.lines().into_iter().filter(|line| line.contains(name)).collect::<Vec<_>>();
        chosen.iter().cycle().take(500).map(|line| (*line).to_owned()).collect::<Vec<_>>()
    };
    kinds.push(("`check_health`", cycle("check_health")));
    kinds.push(("`set_rate`", cycle("set_rate")));
    for values in [2, 4, 8, 16, 24] {
        let data = |n: usize| {
            let values: Vec<String> =
                (0..values).map(|at| format!("{}.{}", 20 + at, (n * 31 + at * 17) % 10)).collect();
            format!(r#"{{"n":{n},"c":[{}]}}"#, values.join(","))
        };
        kinds.push(("measured values", (0..500).map(|n| envelope("reading", 100 + n, &data(1000 + n))).collect()));
    }
    let on = Deflate::default().min_size(0);
    let settings: Vec<_> = kinds
        .iter()
        .flat_map(|(_, messages)| [false, true].map(|context| (on.client_context(context), messages.clone())))
        .collect();
    let results = rounds(count, &settings)?;
    let mut out =
        "| message | B | alone: B | compress µs | inflate µs | with a context: B | compress µs | inflate µs |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for ((name, messages), results) in kinds.iter().zip(results.chunks(2)) {
        let plain = messages.iter().map(String::len).sum::<usize>();
        let cells = [0, 1].map(|at| {
            let [_, compress, inflate] = cells(&results[at], plain);
            let saved = |[sent, _]: &[Work; 2]| (plain as u64 - (sent.plain_bytes - sent.wire_bytes)) as f64 / 500.0;
            let bytes = median(results[at].iter().map(saved)).map_or_else(String::new, number);
            format!("{bytes} | {compress} | {inflate}")
        });
        let _ = writeln!(out, "| {name} | {} | {} | {} |", plain / 500, cells[0], cells[1]);
    }
    Ok(out)
}
