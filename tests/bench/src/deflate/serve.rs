//! The hub that is measured. Every other server in `peers` does the same work for the same
//! messages.
use crate::{deflate::samples::Samples, peers};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io;
use wsx::{Config, Connection, Deflate, Envelope, Hub, SendError};

/// How a server compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Not at all.
    Off,
    /// As the library does it when compression is turned on, but messages of any length.
    Default,
    /// Each message by itself, in both directions.
    Alone,
    /// Each message with those before it, in both directions, with windows of 10 bits.
    Context10,
    /// The same with windows of 15 bits.
    Context15,
}

impl Mode {
    fn config(self) -> Config {
        let on = Deflate::default();
        let options = match self {
            Self::Off => return Config::default(),
            Self::Default => on,
            Self::Alone => on.client_context(false),
            Self::Context10 => on.server_context(true),
            Self::Context15 => on.server_context(true).client_window_bits(15).server_window_bits(15),
        };
        Config::default().deflate(options)
    }
}

/// Asks the server for this many of its recorded messages, which begin again after the last one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, wsx::Message)]
pub(super) struct Replay {
    pub(super) samples: Samples,
    pub(super) count: usize,
    /// Whether every connection gets them.
    pub(super) everyone: bool,
}

/// Passed through as raw JSON, as the other servers do not decode it further either.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[serde(transparent)]
struct Telemetry<'a>(#[serde(borrow)] &'a RawValue);

/// Comes back when everything before it is handled.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub(super) struct Mark {}

#[derive(wsx::Endpoint)]
struct Station;

#[wsx::handler(on = Station)]
fn on_telemetry(_: Telemetry<'_>) {}

#[wsx::handler(on = Station)]
fn on_mark(mark: Mark) -> Mark {
    mark
}

#[wsx::handler(on = Station)]
async fn on_replay(replay: Replay, conn: &Connection, hub: &Hub<Station>) -> Result<(), SendError> {
    let Replay { samples, count, everyone } = replay;
    for line in samples.lines().into_iter().cycle().take(count) {
        if everyone {
            let envelope: Envelope = Envelope::parse(line).expect("a test has parsed it");
            hub.broadcast(&envelope).await?;
        } else {
            conn.send_bytes(line).await?;
        }
    }
    Ok(())
}

/// Runs the server until standard input ends.
#[tokio::main]
pub(crate) async fn serve(mode: Mode) -> io::Result<()> {
    let listener = peers::listen().await?;
    let hub = Hub::builder().endpoint(Station).config(mode.config()).build().map_err(io::Error::other)?;
    tokio::spawn(hub.ws_handler(wsx::unique_id, |_| {}).serve(listener)).await?;
    Err(io::Error::other("the server stopped by itself"))
}
