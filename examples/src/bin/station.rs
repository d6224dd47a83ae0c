//! The server of the page `docs/deployment.md`: TLS, tokens, limits, and a stop that loses nothing.
//!
//! `cargo run -p wsx-examples --features rustls --bin station -- FOLDER 127.0.0.1:9001 0`
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, env, fs, path::Path, sync::Arc, sync::RwLock, time::Duration};
use tokio::{
    net::TcpListener,
    select,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use wsx::{
    BoxError, Config, Connection, Hub, Rejection, StderrObserver, Tls,
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Grace period for running handlers and queued messages.
const GRACE: Duration = Duration::from_secs(15);

#[derive(Serialize, Deserialize, wsx::Message)]
struct Telemetry {
    celsius: f64,
}

#[wsx::handler]
fn on_telemetry(msg: Telemetry, conn: &Connection) {
    println!("{}: {} °C", conn.id(), msg.celsius);
}

/// Reads `chain.pem` and `key.pem`.
fn certificate(folder: &Path) -> Result<ServerConfig, BoxError> {
    let chain = CertificateDer::pem_file_iter(folder.join("chain.pem"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(config.with_single_cert(chain, key)?)
}

/// Reads `tokens`, with a token and the id of its box in each line.
fn tokens(folder: &Path) -> Result<HashMap<String, String>, BoxError> {
    let file = fs::read_to_string(folder.join("tokens"))?;
    let pairs = file.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(token, id)| (format!("Bearer {token}"), id.to_owned())).collect())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, address, drain] = &arguments[..] else {
        return Err("usage: station FOLDER ADDRESS SECONDS-OF-DRAINING".into());
    };
    let (folder, drain) = (Path::new(folder), Duration::from_secs(drain.parse()?));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;

    let tls = Tls::new(certificate(folder)?);
    let known = Arc::new(RwLock::new(tokens(folder)?));
    let lookup = known.clone();
    let identify = move |request: Parts| {
        let known = lookup.read().expect("no code panics under this lock");
        let token = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let id = token.and_then(|token| known.get(token).cloned());
        let wrong = Rejection::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
        async { id.ok_or(wrong) }
    };
    let hub = Hub::builder()
        .config(Config::edge()) // notices a dead link within 35 s
        .observer(StderrObserver)
        .max_connections(20_000)
        .max_connections_per_second(200, 400)
        .max_queued_bytes(512 << 20)
        .health("/healthz")
        .build()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let upgrade = hub.ws_handler(identify, |_| {}).path("/ws");
    let serving = tokio::spawn(upgrade.serve_tls(listener, tls.clone()));

    loop {
        select! {
            _ = terminate.recv() => break,
            _ = hangup.recv() => {}
        }
        match (certificate(folder), tokens(folder)) {
            (Ok(renewed), Ok(read)) => {
                tls.reload(renewed);
                *known.write().expect("no code panics under this lock") = read;
                println!("reloaded");
            }
            (Err(error), _) | (_, Err(error)) => eprintln!("not reloaded: {error}"),
        }
    }
    println!("draining");
    hub.drain(); // health checks get 503 from now on; everything else goes on
    sleep(drain).await;
    let cut_off = hub.shutdown(GRACE).await;
    serving.await?;
    println!("stopped, {cut_off} connections were cut off");
    Ok(())
}
