//! The client for Autobahn's cases: asks the suite for their number, and echoes the messages of
//! each. Some cases run at the same time, because an end waits for the other one in each.
//!
//! `tests/scripts/conformance.sh` runs it, with the suite's URL and the longest message in bytes.
use std::{
    env,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};
use wsx::{CancellationToken, Client, Config, Connection, Deflate, RawFrame, Report, SendError};

/// Time limit for a case. The slowest cases echo 125 MiB and take some seconds, and more on a
/// busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// The number of cases that run at the same time.
const AT_ONCE: usize = 3;
/// The number of cases in each group of the last ones, 13.1 to 13.7.
const GROUP: u32 = 18;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [_, url, longest] = &env::args().collect::<Vec<_>>()[..] else { return Err("usage: URL BYTES".into()) };
    let config = Config::default().max_message_size(longest.parse()?).queue_bytes(2 * longest.parse::<usize>()?);
    let cases: u32 = ask(&format!("{url}/getCaseCount"), &config).await?.parse()?;
    let next = Arc::new(AtomicU32::new(1));
    let mut running = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (url, config, next) = (url.clone(), config.clone(), next.clone());
        running.spawn(async move {
            loop {
                let case = next.fetch_add(1, Ordering::Relaxed);
                if case > cases {
                    return Ok::<_, String>(());
                }
                let config = config.clone().deflate(options(cases - case));
                echo(&format!("{url}/runCase?case={case}&agent=wsx"), &config).await?;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    echo(&format!("{url}/updateReports?agent=wsx"), &config).await?;
    println!("{cases} cases run");
    Ok(())
}

/// Returns the options for the case that so many follow: both contexts and every window, because
/// the suite answers with each combination. In some groups it selects compression only if the
/// client offers to do without its context.
fn options(cases_after: u32) -> Deflate {
    let all = Deflate::default().server_context(true).client_window_bits(15).server_window_bits(15).min_size(0);
    let group = 7_u32.saturating_sub(cases_after / GROUP);
    all.client_context(![2, 5, 6, 7].contains(&group))
}

/// Returns the one message that the suite answers with. Retries while the suite starts.
async fn ask(url: &str, config: &Config) -> Result<String, Box<dyn Error>> {
    for _ in 0..100 {
        let answer = Arc::new(Mutex::new(String::new()));
        let received = answer.clone();
        let client = Client::builder(url).config(config.clone()).reconnect(false).on(
            "__raw__",
            move |frame: RawFrame<'static>, _| {
                let received = received.clone();
                async move { *received.lock().await = frame.as_text().unwrap_or_default().to_owned() }
            },
        );
        let client = client.build().unwrap();
        if client.connect(CancellationToken::new(), |_| {}).await.is_ok() {
            wait_for_close(&client, url).await?;
            return Ok(answer.lock().await.clone());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(format!("{url} does not answer").into())
}

/// Sends every message back until the suite closes the connection.
async fn echo(url: &str, config: &Config) -> Result<(), String> {
    let client = Client::builder(url)
        .config(config.clone())
        .reconnect(false)
        .on("__raw__", send_back)
        .on("__unknown__", send_back)
        .build()
        .unwrap();
    client.connect(CancellationToken::new(), |_| {}).await.map_err(|error| format!("{url}: {}", Report(&error)))?;
    wait_for_close(&client, url).await
}

async fn wait_for_close(client: &Client, url: &str) -> Result<(), String> {
    if let Some(conn) = client.connection() {
        timeout(TIME_LIMIT, conn.closed()).await.map_err(|_| format!("{url} did not close"))?;
    }
    Ok(())
}

async fn send_back(frame: RawFrame<'static>, conn: Connection) -> Result<(), SendError> {
    match frame {
        RawFrame::Text(text) => conn.send_bytes(&*text).await,
        RawFrame::Binary(bytes) => conn.send_binary(&bytes).await,
    }
}
