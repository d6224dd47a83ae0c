//! An echo server: every text comes back as text and every binary message as binary, unchanged.
//!
//! `cargo run --release -p wsx-examples --bin echo -- --listen 127.0.0.1:9001`
//!
//! Conformance and abuse suites run against it. It prints one line, with its address. It has no
//! observer: a suite that does not read standard error would fill the pipe, and block the server.
use clap::Parser;
use wsx::{Config, Connection, Deflate, Hub, RawFrame, SendError};
use wsx_examples::MainError;

/// Sends every WebSocket message on the path /ws back unchanged.
#[derive(Parser)]
#[command(name = "echo", after_help = "Example:\n  echo --listen 127.0.0.1:0 --max-message-size 16777216")]
struct Arguments {
    /// Address to listen on; with port 0 the system chooses a port, and the program prints it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001")]
    listen: String,
    /// Maximum size of a message; a longer one closes its connection with code 1009
    #[arg(long, value_name = "BYTES", default_value_t = Config::default().max_message_size)]
    max_message_size: usize,
    /// Compress messages with permessage-deflate, if the peer offers it
    #[arg(long)]
    compress: bool,
    /// Minimum size of a message that is compressed
    #[arg(long, value_name = "BYTES", default_value_t = Deflate::default().min_size)]
    compress_from: usize,
}

/// Echoes a message that is not an envelope.
#[wsx::handler("__raw__")]
async fn on_raw(frame: RawFrame<'_>, conn: &Connection) -> Result<(), SendError> {
    send_back(&frame, conn).await
}

/// Echoes an envelope. This program has no handler for any message type.
#[wsx::handler("__unknown__")]
async fn on_unknown(frame: RawFrame<'_>, conn: &Connection) -> Result<(), SendError> {
    send_back(&frame, conn).await
}

/// Waits for room in the queue. Until then the connection reads nothing from a peer that does not
/// read its echo.
async fn send_back(frame: &RawFrame<'_>, conn: &Connection) -> Result<(), SendError> {
    match frame {
        RawFrame::Text(text) => conn.send_bytes(&**text).await,
        RawFrame::Binary(bytes) => conn.send_binary(bytes).await,
    }
}

#[tokio::main]
async fn main() -> Result<(), MainError> {
    let Arguments { listen, max_message_size, compress, compress_from } = Arguments::parse();
    // Not `Config::edge()`: suites count frames, and a heartbeat would add some.
    let mut config = Config::default()
        .max_message_size(max_message_size)
        // Room for two of the longest messages: one echo leaves while the next one comes in.
        .queue_bytes(max_message_size.saturating_mul(2).max(Config::default().queue_bytes));
    if compress {
        // Every window and both contexts: suites try each combination.
        let options = Deflate::default().server_context(true).client_window_bits(15).server_window_bits(15);
        config = config.deflate(options.min_size(compress_from));
    }
    wsx_examples::serve(Hub::builder().config(config).build()?, &listen).await
}
