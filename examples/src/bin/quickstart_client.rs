//! The shortest client: sends a rising temperature once a second, and obeys the server's command.
//!
//! `cargo run -p wsx-examples --bin quickstart_client`, beside `quickstart_server`
use serde::{Deserialize, Serialize};
use std::time::Duration;
use wsx::{CancellationToken, Client};

#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry {
    celsius: f64,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Cmd {
    reboot: bool,
}

#[wsx::handler("cmd")]
async fn on_cmd(cmd: Cmd) {
    println!("reboot: {}", cmd.reboot);
}

#[tokio::main]
async fn main() -> Result<(), wsx::ConnectError> {
    // Waits for the server, and comes back to it whenever it has gone.
    let client = Client::builder("ws://127.0.0.1:9001/ws").observer(wsx::StderrObserver).build().unwrap();
    client.connect(CancellationToken::new(), |_| {}).await?;
    for celsius in (86..=95).cycle() {
        if let Err(error) = client.send(&Telemetry { celsius: celsius.into() }).await {
            println!("{celsius} °C was not sent: {error}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
