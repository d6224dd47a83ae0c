//! The work of every Rust peer except wsx for a message: parse the envelope, find its handler in a
//! map, and encode the answer in a new envelope. Only the WebSocket library around it differs.
use super::messages::Reading;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// The encoded result of a message.
pub(super) enum Answer {
    /// For the sender.
    Reply(String),
    /// For everyone.
    Publish(String),
}

/// An envelope. Keys that are optional on the wire are required here, because the load sends all of
/// them.
#[derive(Deserialize, Serialize)]
struct Envelope<'f, T> {
    ver: u32,
    #[serde(borrow, rename = "type")]
    message_type: Cow<'f, str>,
    ts: u64,
    data: T,
}

type Handler = fn(&RawValue) -> serde_json::Result<Answer>;

static HANDLERS: LazyLock<HashMap<&str, Handler>> = LazyLock::new(|| {
    HashMap::from([("telemetry", on_telemetry as Handler), ("reading", on_reading), ("publish", on_publish)])
});

/// Handles one message. An error closes the connection.
pub(super) fn handle(text: &[u8]) -> serde_json::Result<Answer> {
    let envelope: Envelope<'_, &RawValue> = serde_json::from_slice(text)?;
    let handler = HANDLERS
        .get(&*envelope.message_type)
        .ok_or_else(|| serde::de::Error::custom(format!("no handler for {}", envelope.message_type)))?;
    handler(envelope.data)
}

fn on_telemetry(data: &RawValue) -> serde_json::Result<Answer> {
    encode("telemetry", data).map(Answer::Reply)
}

fn on_reading(data: &RawValue) -> serde_json::Result<Answer> {
    let reading: Reading<'_> = serde_json::from_str(data.get())?;
    encode("reading", &reading).map(Answer::Reply)
}

fn on_publish(data: &RawValue) -> serde_json::Result<Answer> {
    encode("publish", data).map(Answer::Publish)
}

fn encode<T: Serialize>(message_type: &str, data: T) -> serde_json::Result<String> {
    let ts = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    serde_json::to_string(&Envelope { ver: 1, message_type: message_type.into(), ts, data })
}
