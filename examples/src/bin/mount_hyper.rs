//! A hub mounted in plain hyper, beside an HTTP route that lists the hub's connections.
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
use wsx::Report;
use wsx::{Config, Connection, Hub, server::WsHandler};
use wsx_examples::MainError;

/// Grace period for the hub's connections, and then for open HTTP requests.
const GRACE: Duration = Duration::from_secs(10);

#[wsx::handler("telemetry")]
fn on_telemetry(celsius: f64, conn: &Connection) {
    println!("{}: {celsius} °C", conn.id());
}

async fn route(request: Request<Incoming>, upgrade: WsHandler, hub: Hub) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match request.uri().path() {
        "/ws" => upgrade.upgrade(request).await,
        "/boxes" => Response::new(Full::from(format!("{:?}\n", hub.ids()))),
        _ => {
            let mut answer = Response::new(Full::from("there is nothing at this path\n"));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        }
    })
}

/// Accepts HTTP connections. The watcher knows each of them, so that a shutdown can wait for them.
async fn serve(listener: TcpListener, hub: &Hub, watcher: &GracefulShutdown) -> std::io::Result<()> {
    let upgrade = hub.ws_handler(wsx::unique_id, |_| {});
    // Without a timer, hyper waits for a slow request head without a limit; with a timer, for
    // thirty seconds.
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let (upgrade, hub) = (upgrade.clone(), hub.clone());
        let service = service_fn(move |request| route(request, upgrade.clone(), hub.clone()));
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = watcher.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("an HTTP connection failed: {}", Report(&*error));
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), MainError> {
    // Notices boxes whose link has died, and keeps proxies from cutting idle connections.
    let hub = Hub::builder().config(Config::edge()).build()?;
    let listener = wsx_examples::listen("127.0.0.1:9001").await?;
    println!("listening on {}", listener.local_addr()?);
    let http = GracefulShutdown::new();
    // hyper does not know the connections that it has upgraded, so the hub closes them first. Then
    // hyper finishes the requests that are left.
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
