//! `docs/howto/tls.md`: row D3 of the specification.
#[expect(unreachable_pub, reason = "the page shows it as the code of a library")]
mod axum;
#[expect(unreachable_pub, reason = "the page shows it as the code of a library")]
mod client;
#[expect(unreachable_pub, reason = "the page shows it as the code of a library")]
mod server;

use std::{fs, path::PathBuf, process::Command, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;
use wsx::{CancellationToken, Hub, rustls::pki_types::ServerName};
use wsx_tests::{
    Seen,
    page::{blocks, page},
    recorder, round_trip, within,
};
use wsx_tls_tests::Authority;

/// Runs the commands of the page, for a server with the name `localhost`. Returns the folder of the
/// certificates.
fn made_by_the_page(name: &str) -> PathBuf {
    let folder = super::folder(name);
    let page = page("docs/howto/tls.md");
    let commands: String =
        blocks(&page).into_iter().filter(|block| block.language == "sh").map(|block| block.text).collect();
    assert!(commands.contains("station.example.com"), "{commands}");
    let commands = commands.replace("station.example.com", "localhost");
    let output = Command::new("sh").args(["-e", "-c", &commands]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// Returns a listener on a free port, and a URL for it.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/ws", listener.local_addr().unwrap().port());
    (listener, url)
}

/// Row D3: with the certificates of the page, a box connects to its server. A box that trusts
/// another authority does not.
#[tokio::test]
async fn a_box_trusts_the_authority_of_the_page_alone() {
    let folder = made_by_the_page("tls");
    let (recorder, mut memory) = recorder();
    let hub = Hub::builder().observer(recorder).without_handlers().build().unwrap();
    let (listener, url) = listen().await;
    let of_the_server = folder.clone();
    tokio::spawn(async move { server::serve(hub, listener, &of_the_server).await.map_err(|error| error.to_string()) });

    let client = client::edge_box(&url, &folder.join("ca.pem")).unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    round_trip(&client.connection().unwrap()).await;

    let other = folder.join("other.pem");
    fs::write(&other, Authority::named("another authority").pem()).unwrap();
    let stranger = client::edge_box(&url, &other).unwrap();
    let attempts = tokio::spawn(async move { stranger.start(CancellationToken::new()).await });
    memory.find(|seen| matches!(seen, Seen::TlsFailed(_)).then_some(())).await;
    attempts.abort();
}

/// Row D3: axum serves the hub and a page over TLS. A silent peer does not hold up others, and the
/// limit of an address holds.
#[tokio::test]
async fn axum_serves_a_hub_and_a_page_over_tls() {
    let folder = made_by_the_page("axum");
    let (recorder, mut memory) = recorder();
    let hub = Hub::builder().observer(recorder).max_connections_per_address(1).without_handlers().build().unwrap();
    let (listener, url) = listen().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(hub.clone(), listener, server::from_files(&folder).unwrap()));
    // Their TLS handshakes end after 10 s each. One after another they would take too long.
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }

    let authority = folder.join("ca.pem");
    let client = client::edge_box(&url, &authority).unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    round_trip(&client.connection().unwrap()).await;
    assert_eq!(hub.len(), 1);

    let second = client::edge_box(&url, &authority).unwrap();
    let attempts = tokio::spawn(async move { second.start(CancellationToken::new()).await });
    let status = memory.find(|seen| if let Seen::HandshakeRejected(status, _) = seen { Some(status) } else { None });
    assert_eq!(status.await, 429);
    attempts.abort();

    // A peer that is not wsx.
    let roots =
        wsx::rustls::ClientConfig::builder_with_provider(Arc::new(wsx::rustls::crypto::ring::default_provider()));
    let mut trusted = wsx::rustls::RootCertStore::empty();
    let pem = fs::read(&authority).unwrap();
    trusted.add(wsx::rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
    let config =
        roots.with_safe_default_protocol_versions().unwrap().with_root_certificates(trusted).with_no_client_auth();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = within(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap();
    tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(tls.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("the station\n"), "{answer}");
}
