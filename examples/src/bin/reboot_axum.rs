//! A REST route in axum that asks a box, and answers with the reply of the box.
//!
//! `cargo run -p wsx-examples --bin reboot_axum`, then
//! `curl -X POST http://127.0.0.1:9001/devices/box-7/reboot`. A box connects to `/ws?id=box-7`.
use axum::{Json, Router, extract, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use wsx::{Config, Hub, Rejection, Report, RequestError, http::request::Parts};
use wsx_examples::MainError;

wsx::protocol! { Fleet v1 { Server -> Edge: Reboot -> Rebooted; } }

#[derive(Serialize, Deserialize, wsx::Message)]
struct Reboot {}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Rebooted {
    uptime_s: u64,
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;

async fn reboot(
    extract::State(hub): extract::State<Hub<Station>>,
    extract::Path(id): extract::Path<String>,
) -> Result<Json<Rebooted>, (StatusCode, String)> {
    let asked = hub.request(&id, &Reboot {}).timeout(Duration::from_secs(5));
    asked.await.map(Json).map_err(|error| (status(&error), format!("{}\n", Report(&error))))
}

fn status(error: &RequestError) -> StatusCode {
    match error {
        RequestError::NoSuchConnection(_) => StatusCode::NOT_FOUND,
        RequestError::NotSent(_) | RequestError::Busy | RequestError::Ended(_) => StatusCode::SERVICE_UNAVAILABLE,
        RequestError::TimedOut | RequestError::Expired => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

async fn identify(request: Parts) -> Result<String, Rejection> {
    let id = request.uri.query().and_then(|query| query.strip_prefix("id="));
    id.map(str::to_owned).ok_or_else(|| Rejection::new(StatusCode::BAD_REQUEST, "connect to /ws?id=NAME"))
}

#[tokio::main]
async fn main() -> Result<(), MainError> {
    let hub = Hub::builder().endpoint(Station).config(Config::edge()).build()?;
    let app = Router::new()
        .route("/devices/{id}/reboot", post(reboot))
        .with_state(hub.clone())
        .route_service("/ws", hub.ws_handler(identify, |_| {}));
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = wsx_examples::listen(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
