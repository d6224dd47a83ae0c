//! What the tests of clusters need beside wsx: a real NATS server, and processes.
mod nats_server;
mod told;

pub use nats_server::NatsServer;
pub use told::{Failure, Told};
