//! Runs in any build profile: prints the handled types, exchanges a message between a hub and a
//! client, and then lets a handler panic.
use std::{error::Error, time::Duration};
use tokio::time::timeout;
use wsx::{CancellationToken, Client, Connection, Envelope, Hub, testing::TestLink};
use wsx_linking_plugin as _;

#[derive(wsx::Endpoint)]
struct Station;

#[derive(wsx::Endpoint)]
struct EdgeBox;

#[wsx::handler("telemetry", on = Station)]
async fn on_telemetry(celsius: f64) -> Envelope<f64> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    Envelope::with_type("limit", celsius + 1.0)
}

#[wsx::handler("panic", on = Station)]
fn on_panic(text: String) {
    panic!("{text}");
}

#[wsx::handler("limit", on = EdgeBox)]
fn on_limit(celsius: f64, conn: &Connection) {
    println!("limit: {celsius}");
    // After the reply, and so after the end of the handler of `telemetry`.
    let _ = conn.try_send(&Envelope::with_type("panic", "as the test wants it"));
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", wsx_linking_endpoint::report());
    let hub = Hub::builder().endpoint(Station).build()?;
    let link = TestLink::to(hub.ws_handler(wsx::unique_id, |_| {}));
    let client =
        Client::builder("ws://station/").endpoint(EdgeBox).connector(link.connector()).reconnect(false).build()?;
    client.start(CancellationToken::new()).await?;
    let conn = client.connection().ok_or("connected above")?;
    client.send(&Envelope::with_type("telemetry", 20.0)).await?;
    let closed = timeout(Duration::from_secs(60), conn.closed()).await?;
    println!("after the panic: {}", closed.code);
    Ok(())
}
