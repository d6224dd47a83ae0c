//! The way from a client to its server: TCP from a chosen source, a proxy, or the program's
//! connector. It makes the connection of a dial.
#[cfg(feature = "proxy")]
use crate::client::dial::proxy::{self, Proxy};
use crate::{
    client::{
        dial::connect::{self, Source},
        stream::{Connector, Socket},
        url::Target,
    },
    config::Config,
    error::ConnectError,
    task::tcp_options,
};
use std::{io, time::Duration};
use tokio::{net::TcpStream, time::Instant};
use tokio_util::either::Either;

/// Whether the system can bind a socket to an interface by its name.
const BINDS_TO_INTERFACES: bool = cfg!(any(target_os = "android", target_os = "linux"));

/// The way from a client to its server.
#[derive(Default)]
pub(crate) struct Route {
    /// Dials in place of TCP.
    pub(in crate::client) connector: Option<Connector>,
    /// Dials in place of the server.
    #[cfg(feature = "proxy")]
    pub(in crate::client) proxy: Option<Proxy>,
    /// Where the sockets are bound.
    pub(in crate::client) source: Source,
}

impl Route {
    /// Reports the options that do not fit together.
    pub(in crate::client) fn problems(&self, mut report: impl FnMut(String)) {
        let Source { address, interface } = &self.source;
        if self.connector.is_some() && (address.is_some() || interface.is_some()) {
            report(
                "`connector` makes its own sockets: bind them there, without `bind_address` and `bind_interface`"
                    .to_owned(),
            );
        }
        #[cfg(feature = "proxy")]
        if self.connector.is_some() && self.proxy.is_some() {
            report("`connector` dials in place of `proxy`: remove one of them".to_owned());
        }
        match interface {
            Some(name) if name.is_empty() => report("the name in `bind_interface` is empty".to_owned()),
            Some(_) if !BINDS_TO_INTERFACES => {
                report("this system cannot bind to an interface by its name: use `bind_address`".to_owned());
            }
            _ => {}
        }
    }

    /// Connects to the server, without the handshakes of TLS and WebSocket.
    ///
    /// `deadline` is the end of the attempt.
    pub(super) async fn connect(
        &self,
        target: &Target,
        deadline: Option<Instant>,
        config: &Config,
    ) -> Result<Socket, ConnectError> {
        let destination = &target.destination;
        let failed = |source| ConnectError::Dial { address: destination.to_string(), source };
        if let Some(connector) = &self.connector {
            let dialled = connector.run(|connector| connector(destination.clone())).await;
            let panicked = || Err(io::Error::other("the program's connector panicked"));
            return dialled.unwrap_or_else(panicked).map_err(failed);
        }
        let socket = self.tcp(target, share(time_left(deadline, config.handshake_timeout))).await?;
        tcp_options::prepare(&socket, config);
        Ok(Either::Left(socket))
    }

    async fn tcp(&self, target: &Target, limit: Duration) -> Result<TcpStream, ConnectError> {
        let destination = &target.destination;
        #[cfg(feature = "proxy")]
        if let Some(proxy) = self.proxy.as_ref().and_then(|proxy| proxy.of(target)) {
            return proxy::connect(proxy, destination, &self.source, limit).await;
        }
        let connected = connect::tcp(destination, &self.source, limit).await;
        connected.map_err(|source| ConnectError::Dial { address: destination.to_string(), source })
    }
}

/// Returns the time until the deadline. A redirect, or the program's function for the URL, has used
/// a part of the handshake timeout.
fn time_left(deadline: Option<Instant>, handshake_timeout: Duration) -> Duration {
    deadline.map_or(handshake_timeout, |deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Returns the part of the time left in which the connection has to be made. It ends before the
/// whole, so that the error can name each address. The rest would be too short for the handshakes.
fn share(time_left: Duration) -> Duration {
    time_left / 20 * 19
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row K11: the connection after a redirect has the rest of the time.
    #[tokio::test(start_paused = true)]
    async fn a_later_connection_has_less_time() {
        let whole = Duration::from_secs(10);
        let deadline = Some(Instant::now() + whole);
        assert_eq!(time_left(deadline, whole), whole);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(share(time_left(deadline, whole)), Duration::from_millis(3800));
        tokio::time::sleep(whole).await;
        assert_eq!(time_left(deadline, whole), Duration::ZERO);
        assert_eq!(time_left(None, whole), whole);
    }
}
