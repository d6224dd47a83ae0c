//! The payloads, the same types for all Rust peers.
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Passed through unchanged: the message of an `-envelope` workload.
#[derive(Serialize, Deserialize, wsx::Message)]
#[serde(transparent)]
pub(super) struct Telemetry<'a>(#[serde(borrow)] &'a RawValue);

/// Passed through unchanged to everyone: the message of a `broadcast` workload.
#[derive(Serialize, Deserialize, wsx::Message)]
#[serde(transparent)]
pub(super) struct Publish<'a>(#[serde(borrow)] &'a RawValue);

/// Decoded into its eight fields and encoded from them: the message of a `-typed` workload.
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
