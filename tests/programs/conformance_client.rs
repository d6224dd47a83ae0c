//! The client for Autobahn's cases: asks the suite for their number, and echoes the messages of
//! each.
//!
//! `tests/scripts/conformance.sh` runs it, with the suite's URL and the longest message in bytes.
use std::{env, error::Error, sync::Arc, time::Duration};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use wsx::{CancellationToken, Client, Config, Connection, Deflate, RawFrame, SendError};

/// Time limit for a case. The slowest cases send a million single bytes and take some seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [_, url, longest] = &env::args().collect::<Vec<_>>()[..] else { return Err("usage: URL BYTES".into()) };
    let config = Config::default().max_message_size(longest.parse()?).queue_bytes(2 * longest.parse::<usize>()?);
    // Every window and both contexts: the suite answers with each combination.
    let options = Deflate::default().server_context(true).client_window_bits(15).server_window_bits(15);
    let config = config.deflate(options.min_size(0));
    let cases: u32 = ask(&format!("{url}/getCaseCount"), &config).await?.parse()?;
    for case in 1..=cases {
        echo(&format!("{url}/runCase?case={case}&agent=wsx"), &config).await?;
    }
    echo(&format!("{url}/updateReports?agent=wsx"), &config).await?;
    println!("{cases} cases run");
    Ok(())
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
async fn echo(url: &str, config: &Config) -> Result<(), Box<dyn Error>> {
    let client = Client::builder(url)
        .config(config.clone())
        .reconnect(false)
        .on("__raw__", send_back)
        .on("__unknown__", send_back)
        .build()
        .unwrap();
    client.connect(CancellationToken::new(), |_| {}).await?;
    wait_for_close(&client, url).await
}

async fn wait_for_close(client: &Client, url: &str) -> Result<(), Box<dyn Error>> {
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
