//! The shortest server: prints the telemetry of each box, and tells a hot box to reboot.
//!
//! `cargo run -p wsx-examples --bin quickstart_server`
use serde::{Deserialize, Serialize};
use std::error::Error;
use tokio::net::TcpListener;
use wsx::{Config, Connection, Hub, StderrObserver};

#[derive(Serialize, Deserialize, wsx::Message)] // its type string is "telemetry"
struct Telemetry {
    celsius: f64,
}

#[derive(Serialize, Deserialize, wsx::Message)] // its type string is "cmd"
struct Cmd {
    reboot: bool,
}

// Runs for each {"type":"telemetry","data":{"celsius":…}}. Its reply goes back to the box.
#[wsx::handler("telemetry")]
fn on_telemetry(msg: Telemetry, conn: &Connection) -> Option<Cmd> {
    println!("{}: {} °C", conn.id(), msg.celsius);
    (msg.celsius > 90.0).then_some(Cmd { reboot: true })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::builder()
        .config(Config::edge()) // notices a dead link within 35 s
        .on_connect(|conn| println!("{} is connected", conn.id()))
        .observer(StderrObserver) // prints what goes wrong
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:9001").await?;
    println!("listening on {}", listener.local_addr()?);
    hub.serve(listener).await;
    Ok(())
}
