//! Doctests that handle the same type: row M13 of the specification. Each code block here is one
//! doctest. Since edition 2024, all of them are one program, except for those with
//! `standalone_crate`.
//!
//! Two doctests handle `telemetry` without an endpoint. The first also builds a hub, which finds
//! both handlers:
//!
//! ```
//! #[wsx::handler("telemetry")]
//! fn on_telemetry(_celsius: f64) {}
//!
//! let error = wsx::Hub::builder().build().unwrap_err().to_string();
//! assert!(error.contains("two handlers for \"telemetry\": "), "{error}");
//! assert!(error.contains("mark this one with `standalone_crate`"), "{error}");
//! ```
//!
//! ```
//! #[wsx::handler("telemetry")]
//! fn on_telemetry(_celsius: f64) {}
//! ```
//!
//! The cures: a program of its own, or an endpoint of its own.
//!
//! ```standalone_crate
//! #[wsx::handler("telemetry")]
//! fn on_telemetry(_celsius: f64) {}
//!
//! let hub = wsx::Hub::builder().build()?;
//! assert_eq!(hub.handled_types(), ["telemetry"]);
//! # Ok::<_, wsx::BuildError>(())
//! ```
//!
//! ```
//! use wsx::{Envelope, Hub, testing::TestPeer};
//!
//! #[derive(wsx::Endpoint)]
//! struct Station;
//!
//! #[wsx::handler("telemetry", on = Station)]
//! fn on_telemetry(celsius: f64) -> Envelope<bool> {
//!     Envelope::with_type("alarm", celsius > 90.0)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::builder().endpoint(Station).build()?;
//! assert_eq!(hub.handled_types(), ["telemetry"]);
//! let mut peer = TestPeer::connect(&hub, "box-7").await?;
//! let handled = peer.deliver(&Envelope::with_type("telemetry", 95.0)).await?;
//! assert!(handled.raw_reply().is_some());
//! # Ok(())
//! # }
//! ```
