//! The fuzz targets. Each is a function that takes libFuzzer's input and panics when a promise is
//! broken.
//!
//! `tests/scripts/fuzz.sh` builds them with `rustc.sh`, and runs them all.
#![forbid(unsafe_code)]

pub mod answer;
pub mod close;
pub mod deflate;
pub mod envelope;
pub mod extensions;
pub mod frames;
pub mod heartbeat;
pub mod http;
pub mod inflate;
pub mod origin;
pub mod requests;
pub mod store;
pub mod url;

mod frame;
mod head;
mod input;
mod rfc1951;
mod rfc6455;
mod wire;
