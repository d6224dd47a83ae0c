//! Tests of handlers and programs without a network.
//!
//! | type | tests |
//! |---|---|
//! | [`TestPeer`] | the handlers of a hub or a client: one message, its reply, and the messages that the program sends |
//! | [`TestLink`] | both ends together: a hub and its clients in one test, with links that break |
//!
//! Both use the hub or client that the program itself builds. Its messages, its handlers with all
//! their arguments, and the checks of its protocol are the real ones.
//!
//! # Set up
//!
//! The feature `testing` is for tests only, so it belongs to the dev-dependencies:
//!
//! ```toml
//! [dev-dependencies]
//! wsx = { package = "wsx-rs", path = "../wsx/wsx", features = ["testing"] }
//! tokio = { version = "1", features = ["macros", "rt", "test-util"] }
//! ```
//!
//! # The clock
//!
//! `#[tokio::test(start_paused = true)]` runs a test on the paused clock of tokio, which needs
//! tokio's feature `test-util`. Time then passes only while every task waits, and then at once. So
//! `tokio::time::sleep` returns when the program has nothing left to do, and a reconnect that takes
//! half a minute takes no time. A test with a `TestLink` needs this clock to be deterministic. With
//! a `TestPeer` it is useful: a handler that never ends fails the test at once.
//!
//! A paused clock does not wait for other input and output, such as a database. A test with these
//! should not pause it.
//!
//! # Examples
//!
//! The handler of a station, and its test:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use wsx::{Hub, testing::TestPeer};
//!
//! #[derive(Serialize, Deserialize, wsx::Message)]
//! struct Telemetry { celsius: f64 }
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
//! struct Cmd { reboot: bool }
//!
//! wsx::protocol! { Fleet v1 { Edge -> Server: Telemetry; Server -> Edge: Cmd; } }
//!
//! #[derive(wsx::Endpoint)]
//! #[wsx(side = Server)]
//! struct Station { limit: f64 }
//!
//! #[wsx::handler(on = Station)]
//! fn on_telemetry(station: &Station, msg: Telemetry) -> Option<Cmd> {
//!     (msg.celsius > station.limit).then_some(Cmd { reboot: true })
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! // #[tokio::test(start_paused = true)]
//! async fn a_hot_box_reboots() -> Result<(), Box<dyn std::error::Error>> {
//!     let hub = Hub::builder().endpoint(Station { limit: 90.0 }).build()?;
//!     let mut edge = TestPeer::connect(&hub, "box-7").await?;
//!     let handled = edge.deliver(&Telemetry { celsius: 95.0 }).await?;
//!     assert_eq!(handled.reply::<Cmd>(), Some(Cmd { reboot: true }));
//!     Ok(())
//! }
//! # a_hot_box_reboots().unwrap();
//! ```
//!
//! # Doctests
//!
//! Since edition 2024, all doctests of a crate are linked into one program. Handlers without an
//! endpoint are collected from the whole program, so two doctests that handle the same type collide
//! when one of them builds a hub or a client. There are two cures:
//!
//! - Mark such a doctest with `standalone_crate`, as in ` ```standalone_crate `. It is then a
//!   program of its own.
//! - Give each doctest an endpoint. Then its handlers belong to that endpoint alone.
mod answers;
mod end;
mod handled;
mod kept;
mod link;
mod peer;
mod sent;

pub use answers::Failure;
pub use handled::Handled;
pub use link::TestLink;
pub use peer::TestPeer;
