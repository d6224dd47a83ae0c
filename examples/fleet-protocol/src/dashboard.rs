//! A third protocol, for people: the web page that shows the fleet, and the server of the page.
//!
//! Times are of the server's clock, in milliseconds since 1970.
use serde::{Deserialize, Serialize};
use std::num::NonZero;

wsx::protocol! {
    /// The web page that shows the fleet, and the server that watches the boxes.
    pub Dashboard v1 {
        Server -> Browser: Boxes, Changes;
        Browser -> Server:
            ReadHistory -> History | Unanswered,
            CheckBox -> BoxHealth | Unanswered,
            SetBoxRate -> BoxRate | Unanswered,
            SendNotice -> NoticeTaken | Unanswered;
    }
}

/// Everything that the page shows. It is the first message of a connection, and replaces what the
/// page knew.
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Boxes {
    /// The time of this message.
    pub now: u64,
    /// Version of the protocol that the server speaks with the boxes.
    pub version: u32,
    /// The boxes, in the order of their names.
    pub boxes: Vec<BoxState>,
    /// The newest notices, oldest first.
    pub notices: Vec<Notice>,
}

/// Everything that changed since the message before. There is at most one a second.
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Changes {
    /// The time of this message.
    pub now: u64,
    /// The boxes that changed.
    pub boxes: Vec<Change>,
    /// New notices, oldest first.
    pub notices: Vec<Notice>,
}

/// A box.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BoxState {
    /// Name of the box.
    pub id: String,
    /// What seldom changes.
    pub status: Status,
    /// The newest sample. A box that never sent telemetry does not have one.
    pub sample: Option<Sample>,
    /// The loads of its last samples, at most a minute of them, oldest first.
    pub recent_cpu: Vec<u8>,
}

/// What changed about a box.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// Name of the box.
    pub id: String,
    /// The new status, if it has changed. A box that the page does not know is new.
    pub status: Option<Status>,
    /// The new sample, if the box has sent telemetry.
    pub sample: Option<Sample>,
}

/// The state of a box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    /// Whether the box is connected.
    pub online: bool,
    /// Since when it is connected, or absent.
    pub since: u64,
    /// Why it is absent.
    pub reason: Option<String>,
    /// Labels of the box.
    pub labels: Vec<String>,
    /// Version of the protocol that the box speaks, if the box reports it.
    pub version: Option<u32>,
    /// Sampling rate, in samples per second.
    pub per_second: Option<NonZero<u8>>,
    /// Reconnects that the server has seen.
    pub reconnects: u64,
    /// Messages that wait in the outbox of the box, as the box has last reported.
    pub outbox: Option<u32>,
    /// Messages that wait for the box in the mailbox of the server.
    pub mailbox: u32,
}

/// A sample of the host of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sample {
    /// The time of the sample.
    pub at: u64,
    /// Mean load of the cores, in percent.
    pub cpu: u8,
    /// Used memory, in percent.
    pub memory: u8,
    /// Received data, in bytes per second. A first sample does not have it.
    pub received: Option<u64>,
    /// Sent data, in bytes per second. A first sample does not have it.
    pub sent: Option<u64>,
    /// Round trip of the newest ping, in microseconds.
    pub latency: Option<u32>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Notice {
    /// When the server noticed it.
    pub at: u64,
    /// Name of the box, if it is about one box.
    pub id: Option<String>,
    /// A sentence.
    pub text: String,
}

/// Asks for the samples of the last minutes.
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReadHistory {
    /// Name of the box.
    pub id: String,
}

/// The reply to [`ReadHistory`].
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct History {
    /// The samples, oldest first.
    pub samples: Vec<Sample>,
}

/// Asks a box for its health.
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckBox {
    /// Name of the box.
    pub id: String,
}

/// The reply to [`CheckBox`].
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BoxHealth {
    /// Time since the host started, in seconds.
    pub uptime_s: u64,
    /// Mean number of processes that ran or were ready to run in the last minute.
    pub load: f64,
    /// Time from the question to the reply, in microseconds.
    pub took: u32,
}

/// Sets the sampling rate of a box.
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SetBoxRate {
    /// Name of the box.
    pub id: String,
    /// Samples per second.
    pub per_second: NonZero<u8>,
}

/// The reply to [`SetBoxRate`].
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BoxRate {
    /// The rate before, in samples per second.
    pub before: NonZero<u8>,
    /// Time from the question to the reply, in microseconds.
    pub took: u32,
}

/// Sends a notice to a box. If the box is absent, the notice waits in the mailbox.
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SendNotice {
    /// Name of the box.
    pub id: String,
    /// The text, at most 200 characters.
    pub text: String,
}

/// The reply to [`SendNotice`].
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NoticeTaken {
    /// Messages that now wait for the box.
    pub waiting: u32,
}

/// Why there is not a reply.
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Unanswered {
    /// A sentence without a full stop, such as "the peer did not reply in time".
    pub reason: String,
}
