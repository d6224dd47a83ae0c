//! The shortest client: sends a rising temperature once a second, and obeys the server's command.
//!
//! `cargo run -p wsx-examples --bin quickstart_client`, while `quickstart_server` runs
use serde::{Deserialize, Serialize};
use std::{error::Error, time::Duration};
use wsx::{CancellationToken, Client, Config, Report, StderrObserver};

#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry {
    celsius: f64,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Cmd {
    reboot: bool,
}

#[wsx::handler("cmd")]
fn on_cmd(cmd: Cmd) {
    println!("reboot: {}", cmd.reboot);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::builder("ws://127.0.0.1:9001/ws")
        .config(Config::edge()) // notices a dead link within 35 s
        .observer(StderrObserver) // prints each failed attempt to connect
        .build()?;
    // Returns when the first connection is open. From then on the client reconnects by itself.
    client.start(CancellationToken::new()).await?;
    for celsius in (86..=95).cycle() {
        if let Err(error) = client.send(&Telemetry { celsius: celsius.into() }).await {
            println!("{celsius} °C was not sent: {}", Report(&error));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
