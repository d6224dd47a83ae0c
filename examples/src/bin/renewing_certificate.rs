//! A client whose certificate is renewed while it runs. Files have the certificate and its key, and
//! another program replaces them, such as an ACME or SCEP client.
//!
//! ```text
//! cargo run -p wsx-examples --features rustls --bin renewing_certificate -- \
//!     wss://station.example.com/ws fleet-ca.pem box-7.pem box-7.key
//! ```
//!
//! The files are read at each TLS handshake, so the next connection has the new certificate. An
//! open connection keeps the old one. If the server must not see it for longer, close the
//! connection: the client connects again by itself.
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use wsx::{
    BoxError, CancellationToken, Client, Config, StderrObserver,
    rustls::{
        ClientConfig, RootCertStore, SignatureScheme,
        client::{ResolvesClientCert, Resumption},
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        sign::CertifiedKey,
    },
};
use wsx_examples::{MainError, asked_to_stop};

#[tokio::main]
async fn main() -> Result<(), MainError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, authority, certificate, key] = &arguments[..] else {
        return Err("usage: renewing_certificate URL CA.pem CERTIFICATE.pem KEY.pem".into());
    };
    let client = Client::builder(url)
        .tls(config(authority, Files { certificate: certificate.into(), key: key.into() })?)
        .config(Config::edge()) // notices a dead link within 35 s
        .observer(StderrObserver)
        .build()?;
    client.start(CancellationToken::new()).await?;
    println!("connected");
    asked_to_stop().await?;
    client.close();
    client.closed().await;
    Ok(())
}

/// Returns the TLS configuration of a client with the certificate in these files.
fn config(authority: &str, files: Files) -> Result<ClientConfig, BoxError> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(authority)? {
        roots.add(root?)?;
    }
    // An error at the start is reported at once.
    let current = Mutex::new(files.read()?);
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Renewing { files, current }));
    // In a resumed session, the server would see the certificate of an earlier handshake.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The files of a certificate, in PEM.
#[derive(Debug)]
struct Files {
    /// The certificate, and the intermediate ones after it.
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn read(&self) -> Result<Arc<CertifiedKey>, BoxError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        // It also checks that the key belongs to the certificate.
        Ok(Arc::new(CertifiedKey::from_der(chain, key, &ring::default_provider())?))
    }
}

/// Gives the present certificate of the files to each TLS handshake.
#[derive(Debug)]
struct Renewing {
    files: Files,
    /// The last certificate that could be read.
    current: Mutex<Arc<CertifiedKey>>,
}

impl ResolvesClientCert for Renewing {
    /// Two small files are read here, in a thread that runs connections. A slow disk would need a
    /// task that reads them.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match self.files.read() {
            Ok(renewed) => *current = renewed,
            // One of the two files may be new already, and the other not yet.
            Err(error) => eprintln!("the last certificate stays in use: {error}"),
        }
        Some(current.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
