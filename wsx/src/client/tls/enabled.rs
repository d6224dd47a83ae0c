//! TLS for a client: the certificates that it trusts, and the TLS handshake of a `wss://`
//! connection. It does not know HTTP.
use crate::{
    client::stream::{self, Destination, Socket},
    config::TLS_BUFFER,
    error::ConnectError,
};
use rustls::{ClientConfig, ClientConnection, crypto::ring, pki_types};
use rustls_platform_verifier::BuilderVerifierExt;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_rustls::TlsConnector;

/// The TLS configuration of the application, or `None` for the roots of the platform.
#[derive(Default)]
pub(crate) struct Trust(pub(crate) Option<Arc<ClientConfig>>);

/// The name that the server's certificate must contain.
#[derive(Debug, Clone)]
pub(crate) struct ServerName(pki_types::ServerName<'static>);

impl ServerName {
    pub(crate) fn parse(host: &str) -> Result<Self, &'static str> {
        let name = pki_types::ServerName::try_from(host.to_owned());
        name.map(Self).map_err(|_| "its host is not a name that a certificate can contain")
    }
}

impl Trust {
    /// Makes the TLS handshake over this socket.
    pub(crate) async fn connect(
        &self,
        name: &ServerName,
        destination: &Destination,
        socket: Socket,
    ) -> Result<Socket, ConnectError> {
        let failed = |source| failure(destination, source);
        let config = match &self.0 {
            Some(config) => config.clone(),
            // Reading the roots reads files, so it does not run in a thread that runs connections.
            None => tokio::task::spawn_blocking(platform)
                .await
                .unwrap_or_else(|gone| Err(io::Error::other(gone)))
                .map_err(failed)?,
        };
        let bound = |session: &mut ClientConnection| session.set_buffer_limit(Some(TLS_BUFFER));
        let stream = TlsConnector::from(config).connect_with(name.0.clone(), socket, bound).await.map_err(failed)?;
        Ok(stream::boxed(stream))
    }
}

/// Returns the error for a certificate that is not trusted, or for any other failure of TLS.
fn failure(destination: &Destination, source: io::Error) -> ConnectError {
    match inside(&source) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            ConnectError::Certificate { host: destination.host.clone(), source }
        }
        _ => ConnectError::Tls { address: destination.to_string(), source },
    }
}

/// Whether TLS caused this error. It can do so after the handshake: with TLS 1.3, the server checks
/// the client's certificate then.
pub(crate) fn is_failure(error: &io::Error) -> bool {
    inside(error).is_some()
}

/// Returns the error of rustls inside an I/O error.
fn inside(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Returns the roots of the platform. They are read once for all clients of the process.
fn platform() -> io::Result<Arc<ClientConfig>> {
    static READ: Mutex<Option<Arc<ClientConfig>>> = Mutex::new(None);
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = &*read {
        return Ok(config.clone());
    }
    // The provider is named here. Otherwise a program with two providers would have to choose one
    // for the whole process.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().and_then(BuilderVerifierExt::with_platform_verifier);
    let builder = builder.map_err(|error| {
        io::Error::other(format!(
            "this system has no usable root certificates ({error}): install some, or give the trusted ones to \
            `ClientBuilder::tls`"
        ))
    })?;
    let mut config = builder.with_no_client_auth();
    // The WebSocket handshake is HTTP/1.1. Without this, a server that prefers HTTP/2 may choose it
    // (RFC 7301).
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(read.insert(Arc::new(config)).clone())
}
