//! The shortest server: prints the telemetry of every box, and tells a hot one to reboot.
//!
//! `cargo run -p wsx-examples --bin quickstart_server`
use serde::{Deserialize, Serialize};
use wsx::{Connection, Hub};

#[derive(Serialize, Deserialize, wsx::Message)] // the type "telemetry"
struct Telemetry {
    celsius: f64,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Cmd {
    reboot: bool,
}

// Runs for each {"type":"telemetry","data":{"celsius":…}}. What it returns goes back to the sender.
#[wsx::handler("telemetry")]
fn on_telemetry(msg: Telemetry, conn: &Connection) -> Option<Cmd> {
    println!("{}: {} °C", conn.id(), msg.celsius);
    (msg.celsius > 90.0).then_some(Cmd { reboot: true })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = Hub::builder().observer(wsx::StderrObserver).build()?;
    let door = hub.ws_handler(wsx::unique_id, |conn| println!("{} is here", conn.id()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:9001").await;
    let listener = listener.map_err(|error| format!("port 9001: {error}; if it is taken, choose another one"))?;
    println!("listening on {}", listener.local_addr()?);
    door.serve(listener).await;
    Ok(())
}
