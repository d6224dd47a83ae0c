//! An echo server: every text comes back as text and every binary as binary, unchanged, envelope or not.
//!
//! `cargo run --release -p wsx-examples --bin echo -- --listen 127.0.0.1:9001`
//!
//! Conformance and abuse suites run against it. It prints one line, where it listens; problems are not printed either,
//! since a suite that does not read them would stop the server once the pipe is full.
use clap::Parser;
use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use wsx::{Config, Connection, Hub, RawFrame, SendError};

/// Sends every WebSocket message back as it came, at the path /ws.
#[derive(Parser)]
#[command(name = "echo", after_help = "Example:\n  echo --listen 127.0.0.1:0 --max-message-size 16777216")]
struct Arguments {
    /// Where to listen; port 0 lets the system choose one, and the program prints it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001")]
    listen: String,
    /// The longest message that is read; a longer one closes its connection with 1009
    #[arg(long, value_name = "BYTES", default_value_t = Config::default().max_message_size)]
    max_message_size: usize,
}

/// How long open connections may take to close at the end.
const GRACE: Duration = Duration::from_secs(5);

/// What is no envelope.
#[wsx::handler("__raw__")]
async fn on_raw(frame: RawFrame<'_>, conn: &Connection) -> Result<(), SendError> {
    send_back(&frame, conn).await
}

/// An envelope: no type has a handler of its own here.
#[wsx::handler("__unknown__")]
async fn on_unknown(frame: RawFrame<'_>, conn: &Connection) -> Result<(), SendError> {
    send_back(&frame, conn).await
}

/// Waits for room in the queue, and no more is read meanwhile: a peer that does not read its echo is not read either.
async fn send_back(frame: &RawFrame<'_>, conn: &Connection) -> Result<(), SendError> {
    match frame {
        RawFrame::Text(text) => conn.send_bytes(&**text).await,
        RawFrame::Binary(bytes) => conn.send_binary(bytes).await,
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told if this fails too.
            let _ = writeln!(io::stderr(), "echo: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { listen, max_message_size } = arguments;
    let config = Config::default()
        .max_message_size(*max_message_size)
        // One echo leaves while the next one comes in; short messages have the default's room.
        .queue_bytes(max_message_size.saturating_mul(2).max(Config::default().queue_bytes));
    let hub = Hub::builder().config(config).build()?;
    let listener = wsx_examples::listen(listen).await?;
    let address = listener.local_addr()?;
    writeln!(io::stdout(), "listening on ws://{address}/ws")?;
    io::stdout().flush()?;
    // Until the hub has ended, so that those who come last are answered.
    let listening = tokio::spawn(hub.ws_handler(wsx::unique_id, |_| {}).path("/ws").serve(listener));
    wsx_examples::asked_to_stop().await?;
    hub.shutdown(GRACE).await;
    Ok(listening.await?)
}
