use std::path::Path;
use wsx::{BoxError, Config, Hub, StderrObserver, cluster::Nats};

/// Returns a node. `urls` are those of the NATS servers, separated by commas, and `authority` is
/// the certificate of the authority that has issued theirs.
pub fn node(urls: &str, password: &str, authority: &Path) -> Result<Hub, BoxError> {
    let nats = Nats::connect(urls)? // such as "tls://nats-1.example:4222,tls://nats-2.example:4222"
        .user_and_password("hub", password)
        .root_certificates(authority)?
        .require_tls();
    let hub = Hub::builder()
        .config(Config::edge()) // notices a dead link within 35 s
        .observer(StderrObserver) // prints each change of the cluster
        .health("/healthz")
        .cluster(nats)
        .without_handlers() // yours go here
        .build()?;
    Ok(hub)
}
