//! TLS for a server: its certificate, which can be replaced while it runs, and the certificates of
//! clients. It does not know WebSocket.
use crate::{
    catch_panic,
    config::TLS_BUFFER,
    connection::handle::Handle,
    protocol::endpoint::Endpoint,
    server::{
        establish::{self, Handshake, REJECTION_TIMEOUT},
        http::{RequestError, lingering_close},
        peer_address,
        places::{Phase, Place},
        upgrade::{HandshakeError, WsHandler},
    },
    task::{deadline, transport::tcp},
};
use http::Extensions;
use rustls::{ServerConfig, ServerConnection, pki_types::CertificateDer};
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The TLS configuration of a server: its certificate, and whether clients need one.
///
/// A clone is cheap, and all clones are the same configuration. So [`reload`](Self::reload) also
/// changes a listener that is serving (row L4 of the specification).
///
/// ```no_run
/// use std::sync::Arc;
/// use wsx::rustls::{
///     ServerConfig,
///     crypto::ring,
///     pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
/// };
///
/// fn from_files() -> Result<ServerConfig, Box<dyn std::error::Error>> {
///     let chain = CertificateDer::pem_file_iter("chain.pem")?.collect::<Result<_, _>>()?;
///     let key = PrivateKeyDer::from_pem_file("key.pem")?;
///     Ok(ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
///         .with_safe_default_protocol_versions()?
///         .with_no_client_auth()
///         .with_single_cert(chain, key)?)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = wsx::Tls::new(from_files()?);
/// let upgrade = wsx::Hub::new().ws_handler(wsx::unique_id, |_| {});
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:9001").await?;
/// let serving = tokio::spawn(upgrade.serve_tls(listener, tls.clone()));
/// // Later, when the certificate has been renewed:
/// tls.reload(from_files()?);
/// # serving.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Returns the TLS side of a server with this configuration.
    ///
    /// If the configuration has a client verifier, clients without a valid certificate are rejected
    /// (row L5 of the specification). `build_id` receives the certificates of the others as
    /// [`PeerCertificates`].
    #[must_use]
    pub fn new(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self(Arc::new(RwLock::new(config.into())))
    }

    /// Replaces the configuration for later handshakes. Open connections and handshakes in progress
    /// keep the old one. Sessions of the old one are not resumed.
    pub fn reload(&self, config: impl Into<Arc<ServerConfig>>) {
        let old = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), config.into());
        // Dropped after the lock is released. With the last clone, a verifier of the program is
        // dropped.
        drop(old);
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }

    /// Makes the TLS handshake at the server. If it fails, a peer that speaks TLS receives an
    /// alert.
    async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let bound = |session: &mut ServerConnection| session.set_buffer_limit(Some(TLS_BUFFER));
        match self.acceptor().accept_with(stream, bound).into_fallible().await {
            Ok(stream) => Ok(stream),
            Err((error, mut stream)) => {
                let _ = timeout(REJECTION_TIMEOUT, lingering_close(&mut stream)).await;
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The verified certificates of a client, its own first. They are in the `extensions` of the
/// request that `build_id` receives.
///
/// They are missing if the server does not request certificates. In an HTTP server of the program,
/// they are there only if that server adds them.
///
/// ```
/// use wsx::{Rejection, http::{StatusCode, request::Parts}, server::PeerCertificates};
///
/// async fn device_id(request: Parts) -> Result<String, Rejection> {
///     let Some(PeerCertificates(chain)) = request.extensions.get() else {
///         return Err(Rejection::new(StatusCode::UNAUTHORIZED, "no certificate"));
///     };
///     # fn device_of(_: &[u8]) -> String { String::new() }
///     // The certificate is in DER, for a parser such as the crate x509-parser.
///     Ok(device_of(&chain[0]))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificates(pub Vec<CertificateDer<'static>>);

/// Waits for the first byte of a TCP socket, or returns an error if it ends before. The TCP check
/// of a load balancer does that, and its end is not a failed TLS handshake.
async fn has_begun<S: 'static>(stream: &S) -> io::Result<()> {
    match tcp::of(stream) {
        Some(socket) if socket.peek(&mut [0]).await? == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Makes the TLS handshake, then the WebSocket handshake. Returns the connection.
pub(super) async fn stream<E, S>(
    upgrade: &WsHandler<E>,
    stream: S,
    peer: Option<SocketAddr>,
    place: Place,
    tls: &Tls,
) -> Result<Handle, HandshakeError>
where
    E: Endpoint,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let hub = &upgrade.hub;
    let (mut stream, mut handshake) = (stream, Handshake::new(hub, peer, place));
    // A proxy that speaks the PROXY protocol begins before TLS.
    let read = peer_address::read_header(hub, &mut stream, &mut handshake).await;
    let peer = handshake.peer();
    let rejected = |rejection| establish::reject_silently(hub, peer, rejection);
    match read {
        Ok(()) => {}
        Err(RequestError::Io(error)) => return Err(HandshakeError::Io(error)),
        Err(RequestError::Rejected(rejection)) => return Err(rejected(rejection)),
    }
    handshake.count(hub).map_err(rejected)?;
    handshake.become_candidate(hub).await.map_err(rejected)?;
    let accepting = async {
        has_begun(&stream).await?;
        Ok(tls.accept(stream).await)
    };
    let timed_out = || {
        let why = format!("the TLS handshake was not finished within {:?}", handshake.limit);
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    };
    let accepted = tokio::select! {
        biased;
        () = hub.lifecycle().stop.cancelled() => return Err(rejected(establish::going_away())),
        // It runs the certificate verifier and the stream of the program.
        accepted = catch_panic::run(deadline::timeout(handshake.left(), Box::pin(accepting))) => match accepted {
            Some(accepted) => accepted.unwrap_or_else(|| Ok(timed_out())).map_err(HandshakeError::Io)?,
            None => Err(io::Error::other("the program's certificate verifier or stream panicked")),
        },
        () = handshake.gives_way() => return Err(rejected(establish::gave_way())),
    };
    let stream = accepted.map_err(|error| {
        hub.observer().tls_failed(peer, &error);
        HandshakeError::Tls(error)
    })?;
    // The peer has made progress, and gets the time for its request.
    handshake.begin(Phase::Silent);
    let mut extensions = Extensions::new();
    if let Some(chain) = stream.get_ref().1.peer_certificates() {
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned());
        extensions.insert(PeerCertificates(chain.collect()));
    }
    // Boxed, because a TLS session takes a kilobyte, which would make every future up to here
    // larger.
    establish::finish(upgrade, Box::new(stream), handshake, extensions).await
}
