//! Without the feature `rustls`, the error of a client with a `wss://` URL names the missing
//! feature. It is a program of its own because the tests may be built with that feature.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = wsx::Client::new("wss://127.0.0.1/ws");
    let error = client.connect(wsx::CancellationToken::new(), |_| {}).await.unwrap_err();
    let why = "the client cannot be built: cannot dial \"wss://127.0.0.1/ws\": wss:// needs TLS: enable the feature `rustls` of wsx";
    assert_eq!(error.to_string(), why);
    assert!(error.is_final());
}
