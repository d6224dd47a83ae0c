//! The protocol of these tests, and the endpoint of the hub. It does not know pages.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Notify;
use wsx::{Connection, Observer, delivery::Gap};
use wsx_tests::Log;

wsx::protocol! {
    /// A page that does what a test says, and a station that logs it.
    pub(crate) Web v1 {
        Page <-> Station: Sample;
        Page -> Station: Reading, Alarm, Temperature, Settings, Enter -> Entered | Denied, Hold -> Held, Fail -> Held;
        Station -> Page: Order, Gauge, Wish, Notice, Ask -> Told | Shy;
    }
}

/// All shapes that differ between Rust and JavaScript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Sample {
    /// Up to 2^64 - 1.
    pub(crate) big: u64,
    /// From -2^63.
    pub(crate) debt: i64,
    /// Not there if it is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// `null` if it is `None`.
    pub(crate) limit: Option<u32>,
    pub(crate) mode: Mode,
    pub(crate) step: Step,
    pub(crate) signal: Signal,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) places: Vec<Place>,
    pub(crate) pair: (u8, String),
    /// A date, as RFC 3339 has it.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) at: String,
    pub(crate) ratio: f64,
}

/// With a tag inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Mode {
    Off,
    Timed { seconds: u64 },
}

/// With the tag as the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Step {
    Begin,
    Wait(u64),
    Move { x: f64, y: f64 },
}

/// With tag and content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", content = "c")]
pub(crate) enum Signal {
    Low,
    High(i64),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) inner: Vec<Self>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
#[wsx(delivery = at_least_once)]
pub(crate) struct Reading {
    pub(crate) n: u32,
}

/// Gives way to newer ones.
#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "1h", full = drop_oldest)]
pub(crate) struct Alarm {
    pub(crate) n: u32,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
#[wsx(delivery = latest, key = device)]
pub(crate) struct Temperature {
    pub(crate) device: String,
    pub(crate) celsius: i32,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
#[wsx(delivery = state)]
pub(crate) struct Settings {
    pub(crate) interval_s: u32,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Enter {
    pub(crate) code: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Entered {
    pub(crate) code: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Denied {
    pub(crate) because: String,
}

/// Is not answered until the test says so.
#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Hold {}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Held {}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Fail {}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
#[wsx(delivery = at_least_once)]
pub(crate) struct Order {
    pub(crate) n: u32,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
#[wsx(delivery = latest, key = place)]
pub(crate) struct Gauge {
    pub(crate) place: String,
    pub(crate) value: i32,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
#[wsx(delivery = state)]
pub(crate) struct Wish {
    pub(crate) level: u32,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Notice {
    pub(crate) text: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Ask {
    pub(crate) how: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Told {
    pub(crate) said: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, wsx::Message)]
pub(crate) struct Shy {
    pub(crate) until: u32,
}

/// The endpoint of the hub. It logs what it handles.
#[derive(wsx::Endpoint, Clone, Default)]
#[wsx(side = Station)]
pub(crate) struct Desk {
    pub(crate) samples: Log<Sample>,
    pub(crate) kept: Log<String>,
    pub(crate) held: Log<()>,
    /// Lets one `Hold` be answered.
    pub(crate) released: Arc<Notify>,
    /// What the observer learns.
    pub(crate) seen: Log<String>,
}

#[wsx::handler(on = Desk)]
fn on_sample(desk: &Desk, sample: Sample) {
    desk.samples.add(sample);
}

#[wsx::handler(on = Desk)]
fn on_reading(desk: &Desk, Reading { n }: Reading) -> Result<(), &'static str> {
    desk.kept.add(format!("reading {n}"));
    if n == 13 { Err("an unlucky number") } else { Ok(()) }
}

#[wsx::handler(on = Desk)]
fn on_alarm(desk: &Desk, Alarm { n }: Alarm) {
    desk.kept.add(format!("alarm {n}"));
}

#[wsx::handler(on = Desk)]
fn on_temperature(desk: &Desk, Temperature { device, celsius }: Temperature) {
    desk.kept.add(format!("{device} {celsius}"));
}

#[wsx::handler(on = Desk)]
fn on_settings(desk: &Desk, Settings { interval_s }: Settings) {
    desk.kept.add(format!("settings {interval_s}"));
}

#[wsx::handler(on = Desk)]
fn on_enter(Enter { code }: Enter) -> Result<Entered, Denied> {
    if code == u64::MAX { Ok(Entered { code }) } else { Err(Denied { because: format!("{code} is wrong") }) }
}

#[wsx::handler(on = Desk)]
async fn on_hold(desk: &Desk, _: Hold) -> Held {
    desk.held.add(());
    desk.released.notified().await;
    Held {}
}

#[wsx::handler(on = Desk)]
fn on_fail(_: Fail) -> Result<Held, &'static str> {
    Err("asked to fail")
}

/// Logs what a page causes, in words.
pub(crate) struct Watch(pub Log<String>);

impl Observer for Watch {
    fn message_ignored(&self, _: &Connection, message_type: &str) {
        self.0.add(format!("ignored {message_type}"));
    }

    fn peer_failed(&self, _: &Connection, message_type: &str, code: &str, message: &str) {
        self.0.add(format!("{message_type} {code}: {message}"));
    }

    fn delivery_failed(&self, _: &Connection, message_type: &str, code: &str, message: &str) {
        self.0.add(format!("{message_type} {code}: {message}"));
    }

    fn delivery_gap(&self, _: &Connection, gap: &Gap) {
        self.0.add(format!("gap of {} {}", gap.to - gap.from + 1, if gap.is_ours { "here" } else { "there" }));
    }

    fn reply_unexpected(&self, _: &Connection, message_type: &str) {
        self.0.add(format!("unexpected {message_type}"));
    }
}
