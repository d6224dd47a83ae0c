//! TLS in front of a hub's door: the server's certificate, which can change while it runs, and the peer's.
use crate::{
    config::TLS_BUFFER,
    connection::Connection,
    protocol::endpoint::Endpoint,
    server::handshake::{self, Reject},
    server::upgrade::{HandshakeError, REFUSAL, WsHandler, going_away},
};
use rustls::{ServerConfig, ServerConnection, pki_types::CertificateDer};
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::tungstenite::http::Extensions;

/// What a server shows and asks for in a TLS handshake: its certificate, and whether clients need one. Cheap to clone; all
/// clones are one, so that [`reload`](Self::reload) reaches the listener.
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
/// let door = wsx::Hub::new().ws_handler(wsx::unique_id, |_| {});
/// let listening = tokio::spawn(door.listen_tls(tokio::net::TcpListener::bind("0.0.0.0:9001").await?, tls.clone()));
/// // Later, when the certificate has been renewed:
/// tls.reload(from_files()?);
/// # listening.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// As this configuration says. With a client verifier in it, clients without a certificate of theirs are turned away,
    /// and `build_id` sees the [`PeerCertificates`] of the others.
    #[must_use]
    pub fn new(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self(Arc::new(RwLock::new(config.into())))
    }

    /// From the next handshake on, as this configuration says. Connections that are open, and handshakes that are half
    /// done, go on as they began; sessions of before are not resumed.
    pub fn reload(&self, config: impl Into<Arc<ServerConfig>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config.into();
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }

    /// The server's half of a handshake. One that fails leaves the peer with an alert, if it speaks TLS.
    async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let bound = |session: &mut ServerConnection| session.set_buffer_limit(Some(TLS_BUFFER));
        match self.acceptor().accept_with(stream, bound).into_fallible().await {
            Ok(stream) => Ok(stream),
            Err((error, mut stream)) => {
                let _ = timeout(REFUSAL, handshake::part(&mut stream)).await;
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

/// The certificates that a client has shown and the server's verifier has found good, its own first: in the `extensions`
/// of the request that `build_id` sees, beside [`PeerAddr`](crate::PeerAddr). Not there where the server asks for none;
/// where the HTTP server is the user's own, it is there only if that server says it.
///
/// ```
/// use wsx::{PeerCertificates, Reject, http::{StatusCode, request::Parts}};
///
/// async fn device_id(request: Parts) -> Result<String, Reject> {
///     let Some(PeerCertificates(chain)) = request.extensions.get() else {
///         return Err(Reject::new(StatusCode::UNAUTHORIZED, "no certificate"));
///     };
///     # fn device_of(_: &[u8]) -> String { String::new() }
///     Ok(device_of(&chain[0])) // The certificate in DER, for a parser such as the crate x509-parser.
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificates(pub Vec<CertificateDer<'static>>);

impl<E: Endpoint> WsHandler<E> {
    /// As [`listen`](Self::listen), with TLS: for clients of `wss://`. A TLS handshake that fails ends its own connection
    /// alone, and goes to [`Observer::tls_failed`](crate::Observer::tls_failed).
    ///
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout) is for the handshakes of TLS and of WebSocket
    /// together, and [`HubBuilder::max_handshakes`](crate::HubBuilder::max_handshakes) counts both as one.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops accepting; connections that are open stay.
    pub async fn listen_tls(self, listener: TcpListener, tls: Tls) {
        self.accept_each(listener, |door, stream, peer, place| {
            let tls = tls.clone();
            async move {
                // The observer has seen it.
                let _ = door.serve_behind_tls(stream, Some(peer), place, &tls).await;
            }
        })
        .await;
    }

    /// As [`serve_stream`](Self::serve_stream), with TLS on the stream.
    ///
    /// # Errors
    ///
    /// When the TLS handshake fails, the request is refused or the stream breaks. Where too many handshakes are half done,
    /// or too many connections come from one address, the stream ends before TLS, and so without an answer: that would
    /// cost what the limits are to save.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the stream is dropped with it.
    pub async fn serve_tls<S>(
        &self,
        stream: S,
        peer: Option<SocketAddr>,
        tls: &Tls,
    ) -> Result<Connection, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let place = self.place().map_err(|reject| self.turn_away(peer, reject))?;
        self.serve_behind_tls(stream, peer, place, tls).await
    }

    async fn serve_behind_tls<S>(
        &self,
        stream: S,
        peer: Option<SocketAddr>,
        place: OwnedSemaphorePermit,
        tls: &Tls,
    ) -> Result<Connection, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let begun = self.begin(peer, place).map_err(|reject| self.turn_away(peer, reject))?;
        let late = || {
            let why = format!("no whole TLS handshake within {:?}", begun.limit);
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        };
        let accepted = tokio::select! {
            accepted = timeout(begun.left(), tls.accept(stream)) => accepted.unwrap_or_else(|_| late()),
            () = self.hub().stop().cancelled() => return Err(self.turn_away(peer, going_away())),
        };
        let stream = accepted.map_err(|error| {
            self.hub().observer().tls_failed(peer, &error);
            HandshakeError::Tls(error)
        })?;
        let mut extensions = Extensions::new();
        if let Some(chain) = stream.get_ref().1.peer_certificates() {
            let chain = chain.iter().map(|certificate| certificate.clone().into_owned());
            extensions.insert(PeerCertificates(chain.collect()));
        }
        // Boxed, since a session is a kilobyte that every future on its way would be larger by.
        self.handshake(Box::new(stream), begun, extensions).await
    }

    /// Refuses without an answer.
    fn turn_away(&self, peer: Option<SocketAddr>, reject: Reject) -> HandshakeError {
        self.hub().observer().refused(peer, reject.status, &reject.body);
        HandshakeError::Refused { status: reject.status, why: reject.body }
    }
}
