use std::{error::Error, path::Path, sync::Arc};
use tokio::net::TcpListener;
use wsx::{
    Hub, Tls,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Reads the certificate of the server, and its key.
pub fn from_files(folder: &Path) -> Result<ServerConfig, Box<dyn Error>> {
    let (chain, key) = (folder.join("station.pem"), folder.join("station.key"));
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    let mut config = config.with_single_cert(chain, key)?;
    // A WebSocket begins with HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

pub async fn serve(hub: Hub, listener: TcpListener, folder: &Path) -> Result<(), Box<dyn Error>> {
    let tls = Tls::new(from_files(folder)?);
    // Keep a clone of `tls`. After a renewal of the files, call `tls.reload(from_files(folder)?)`.
    hub.serve_tls(listener, tls).await;
    Ok(())
}
