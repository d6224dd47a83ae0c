//! The payloads, the same types for all Rust peers.
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Passed on as it came: what an `-envelope` workload sends.
#[derive(Serialize, Deserialize, wsx::Message)]
#[serde(transparent)]
pub(super) struct Telemetry<'a>(#[serde(borrow)] &'a RawValue);

/// Passed on as it came, to everyone: what a `broadcast` workload sends.
#[derive(Serialize, Deserialize, wsx::Message)]
#[serde(transparent)]
pub(super) struct Publish<'a>(#[serde(borrow)] &'a RawValue);

/// Decoded into its eight fields and encoded from them: what a `-typed` workload sends.
#[derive(Serialize, Deserialize, wsx::Message)]
pub(super) struct Reading<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    n: u64,
    t: f64,
    h: u32,
    v: f64,
    ok: bool,
    e: i32,
    #[serde(borrow)]
    note: Cow<'a, str>,
}
