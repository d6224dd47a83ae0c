//! A server that answers requests, and asks its peer back.
//!
//! `cargo run --release -p wsx-examples --bin answers -- --listen 127.0.0.1:9001`
//!
//! Programs in other languages are tested against it. It prints one line, with its address. It does
//! not write to standard error: a test that does not read it would fill the pipe, and block the
//! server.
use clap::Parser;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::sleep;
use wsx::{Config, Connection, Hub, RequestError};
use wsx_examples::MainError;

/// Answers requests on the path /ws, and asks its peer back.
#[derive(Parser)]
#[command(name = "answers", after_help = "Example:\n  answers --listen 127.0.0.1:0")]
struct Arguments {
    /// Address to listen on; with port 0 the system chooses a port, and the program prints it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001")]
    listen: String,
    /// Maximum size of a message; a longer one closes its connection with code 1009
    #[arg(long, value_name = "BYTES", default_value_t = Config::default().max_message_size)]
    max_message_size: usize,
}

#[derive(Deserialize, wsx::Message)]
struct Add {
    a: i64,
    b: i64,
}

#[derive(Serialize, wsx::Message)]
struct Sum {
    // Holds each sum of two numbers with 64 bits.
    sum: i128,
}

#[derive(Deserialize, wsx::Message)]
struct Wait {
    /// In milliseconds.
    ms: u64,
}

#[derive(Serialize, wsx::Message)]
struct Waited {
    ms: u64,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct AskBack {
    depth: u32,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Asked {
    depth: u32,
}

#[wsx::handler("add")]
fn on_add(Add { a, b }: Add) -> Sum {
    Sum { sum: i128::from(a) + i128::from(b) }
}

#[wsx::handler("wait")]
async fn on_wait(Wait { ms }: Wait) -> Waited {
    sleep(Duration::from_millis(ms)).await;
    Waited { ms }
}

#[wsx::handler("fail")]
fn on_fail() -> Result<(), &'static str> {
    Err("asked to fail")
}

/// Asks the peer one level less before it replies. The peer may ask back in the same way.
#[wsx::handler("ask_back")]
async fn on_ask_back(AskBack { depth }: AskBack, conn: &Connection) -> Result<Asked, RequestError> {
    if depth > 0 {
        conn.request_as::<Asked>(&AskBack { depth: depth - 1 }).await?;
    }
    Ok(Asked { depth })
}

#[wsx::handler("panic")]
fn on_panic() {
    panic!("asked to panic");
}

#[tokio::main]
async fn main() -> Result<(), MainError> {
    let Arguments { listen, max_message_size } = Arguments::parse();
    std::panic::set_hook(Box::new(|_| {}));
    let config = Config::default().max_message_size(max_message_size);
    wsx_examples::serve(Hub::builder().config(config).build()?, &listen).await
}
