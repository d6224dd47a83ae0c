use std::{error::Error, path::Path, sync::Arc};
use wsx::{
    Client, Config, StderrObserver,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

/// Returns a client that trusts the authority in this file, and no other.
pub fn edge_box(url: &str, authority: &Path) -> Result<Client, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut tls = tls.with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = Client::builder(url)
        .tls(tls)
        .config(Config::edge()) // notices a dead link within 35 s
        .observer(StderrObserver)
        .build()?;
    Ok(client)
}
