//! The targets, each a function that takes what libFuzzer made up and panics when a promise is broken.
//!
//! `cargo fuzz` builds them; `tests/scripts/fuzz.sh` runs them all.
#![forbid(unsafe_code)]

pub mod close;
pub mod envelope;
pub mod frames;
pub mod http;

mod frame;
mod input;
mod wire;
