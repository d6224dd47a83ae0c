//! A hub behind plain hyper, beside an ordinary HTTP route that asks it who is there.
//!
//! `cargo run -p wsx-examples --bin mount_hyper`, then `curl http://127.0.0.1:9001/boxes`
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use std::{convert::Infallible, time::Duration};
use tokio::net::TcpListener;
use wsx::{Connection, Hub, server::WsHandler};

/// How long what is open may take to end.
const GRACE: Duration = Duration::from_secs(10);

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

/// Accepts for ever; each HTTP connection is watched, so that it can be ended.
async fn serve(listener: TcpListener, hub: &Hub, watcher: &GracefulShutdown) -> std::io::Result<()> {
    let door = hub.ws_handler(wsx::unique_id, |_| {});
    // With a timer, hyper gives a slow request head thirty seconds; without one, for ever.
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let (door, hub) = (door.clone(), hub.clone());
        let service = service_fn(move |request| route(request, door.clone(), hub.clone()));
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = watcher.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("an HTTP connection failed: {error}");
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = Hub::new();
    let listener = wsx_examples::listen("127.0.0.1:9001").await?;
    println!("listening on {}", listener.local_addr()?);
    let http = GracefulShutdown::new();
    // hyper does not know the connections that it has upgraded. So the hub closes them first, and those who come
    // meanwhile are told 503; then hyper ends what is left.
    tokio::select! {
        served = serve(listener, &hub, &http) => served?,
        asked = async {
            let asked = wsx_examples::asked_to_stop().await;
            hub.shutdown(GRACE).await;
            asked
        } => asked?,
    }
    if tokio::time::timeout(GRACE, http.shutdown()).await.is_err() {
        eprintln!("some HTTP requests did not end within {GRACE:?}");
    }
    Ok(())
}
