use axum::{Extension, Router, routing::get};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use wsx::{Hub, rustls::ServerConfig, server::PeerAddr};

/// Serves the hub and a page over TLS, on one port.
pub async fn serve(hub: Hub, listener: TcpListener, tls: ServerConfig) {
    let app = Router::new()
        .route("/", get(async || "the station\n"))
        .route_service("/ws", hub.ws_handler(wsx::unique_id, |_| {}));
    let tls = TlsAcceptor::from(Arc::new(tls));
    loop {
        match listener.accept().await {
            // A task for each connection, so that a slow TLS handshake delays no other one.
            Ok((stream, peer)) => {
                tokio::spawn(answer(stream, peer, tls.clone(), app.clone()));
            }
            // Such as too many open files.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn answer(stream: TcpStream, peer: SocketAddr, tls: TlsAcceptor, app: Router) {
    let _ = stream.set_nodelay(true); // each message leaves at once
    let handshake = timeout(Duration::from_secs(10), tls.accept(stream));
    let Ok(Ok(stream)) = handshake.await else { return };
    let app = app.layer(Extension(PeerAddr(peer))); // for limits and reports
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let _ = served.with_upgrades().await; // an error ends this connection only
}
