//! The TCP socket below a stream, and what its peer has not acknowledged yet. It does not know
//! frames.
#[cfg(target_os = "linux")]
pub(super) use crate::task::transport::sock_diag::unacknowledged;
#[cfg(not(target_os = "linux"))]
use crate::task::transport::unacknowledged::Unacknowledged;
use std::any::Any;
use tokio::net::TcpStream;

/// Returns the TCP socket below a stream, if the stream is one, or TLS on one. The TLS stream is in
/// the box in which the server keeps it.
///
/// The stream may be the application's, so its type decides at run time.
pub(crate) fn of<S: 'static>(stream: &S) -> Option<&TcpStream> {
    let stream: &dyn Any = stream;
    #[cfg(all(feature = "server", feature = "rustls"))]
    if let Some(tls) = stream.downcast_ref::<Box<tokio_rustls::server::TlsStream<TcpStream>>>() {
        return Some(tls.get_ref().0);
    }
    stream.downcast_ref()
}

/// Other systems than Linux do not show it.
#[cfg(not(target_os = "linux"))]
pub(super) fn unacknowledged(_: &TcpStream) -> Option<Unacknowledged> {
    None
}
