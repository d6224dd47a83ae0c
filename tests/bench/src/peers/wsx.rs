//! wsx as its guide shows: a protocol that the compiler checks, a complete endpoint, and the hub's
//! listener. All settings are the defaults, so all bounds and timeouts apply.
use super::messages::{Publish, Reading, Telemetry};
use tokio::net::TcpListener;
use wsx::{Hub, SendError};

wsx::protocol! {
    Bench v1 {
        Load -> Server: Telemetry<'_>, Reading<'_>, Publish<'_>;
        Server -> Load: Telemetry<'_>, Reading<'_>, Publish<'_>;
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;

#[wsx::handler(on = Station)]
fn on_telemetry(telemetry: Telemetry<'_>) -> Telemetry<'_> {
    telemetry
}

#[wsx::handler(on = Station)]
fn on_reading(reading: Reading<'_>) -> Reading<'_> {
    reading
}

#[wsx::handler(on = Station)]
async fn on_publish(message: Publish<'_>, hub: &Hub<Station>) -> Result<(), SendError> {
    hub.broadcast(&message).await.map(drop)
}

pub(super) async fn serve(listener: TcpListener) {
    Hub::builder().endpoint(Station).build().unwrap().ws_handler(wsx::unique_id, |_| {}).serve(listener).await;
}
