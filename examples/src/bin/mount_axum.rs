//! A hub mounted in axum, beside an HTTP route that lists the hub's connections.
//!
//! `cargo run -p wsx-examples --bin mount_axum`, then `curl http://127.0.0.1:9001/boxes`
use axum::{Router, routing::get};
use std::time::Duration;
use wsx::Report;
use wsx::{Config, Connection, Hub};
use wsx_examples::MainError;

#[wsx::handler("telemetry")]
fn on_telemetry(celsius: f64, conn: &Connection) {
    println!("{}: {celsius} °C", conn.id());
}

#[tokio::main]
async fn main() -> Result<(), MainError> {
    // Notices boxes whose link has died, and keeps proxies from cutting idle connections.
    let hub = Hub::builder().config(Config::edge()).build()?;
    let boxes = hub.clone();
    let app = Router::new()
        .route("/boxes", get(|| async move { format!("{:?}\n", boxes.ids()) }))
        .route_service("/ws", hub.ws_handler(wsx::unique_id, |_| {}));
    let listener = wsx_examples::listen("127.0.0.1:9001").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(close(hub)).await?;
    Ok(())
}

/// Closes the hub before axum stops. axum does not know the connections that it has upgraded, so
/// the hub has to close them.
async fn close(hub: Hub) {
    if let Err(error) = wsx_examples::asked_to_stop().await {
        eprintln!("cannot wait for signals: {}", Report(&error));
    }
    hub.shutdown(Duration::from_secs(10)).await;
}
