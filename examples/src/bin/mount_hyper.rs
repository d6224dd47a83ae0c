//! A hub behind plain hyper, beside an ordinary HTTP route that asks it who is there.
//!
//! `cargo run -p wsx-examples --bin mount_hyper`, then `curl http://127.0.0.1:9001/boxes`
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, time::Duration};
use tokio::net::TcpListener;
use wsx::{Connection, Hub, WsHandler};

#[wsx::handler("telemetry")]
fn on_telemetry(celsius: f64, conn: &Connection) {
    println!("{}: {celsius} °C", conn.id());
}

async fn route(request: Request<Incoming>, door: WsHandler, hub: Hub) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match request.uri().path() {
        "/ws" => door.upgrade(request).await,
        "/boxes" => Response::new(Full::from(format!("{:?}\n", hub.ids()))),
        _ => {
            let mut answer = Response::new(Full::from("there is nothing at this path\n"));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        }
    })
}

async fn serve(listener: TcpListener, hub: &Hub) -> std::io::Result<()> {
    let door = hub.ws_handler(wsx::unique_id, |_| {});
    loop {
        let (stream, _) = listener.accept().await?;
        let (door, hub) = (door.clone(), hub.clone());
        let service = service_fn(move |request| route(request, door.clone(), hub.clone()));
        // With a timer, hyper gives a slow request head thirty seconds; without one, for ever.
        let http = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = http.with_upgrades().await {
                eprintln!("an HTTP connection failed: {error}");
            }
        });
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:9001").await?;
    println!("listening on {}", listener.local_addr()?);
    tokio::select! {
        served = serve(listener, &hub) => served?,
        asked = wsx_examples::asked_to_stop() => asked?,
    }
    // hyper does not know the connections that it has upgraded; the hub closes them.
    hub.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
