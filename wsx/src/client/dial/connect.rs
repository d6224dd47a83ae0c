//! Makes the TCP connection of a dial: resolves the name, binds to the source that the program
//! chose, and connects.
use crate::{
    client::{
        dial::{race, resolve},
        stream::Destination,
    },
    task::deadline,
};
use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::Instant,
};

/// Where the client's sockets are bound. By default the system chooses.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The local address.
    pub(in crate::client) address: Option<IpAddr>,
    /// The name of the network interface.
    pub(in crate::client) interface: Option<String>,
}

/// Connects within `limit`, to the address of the host that answers first. If all fail, the error
/// names each of them.
pub(super) async fn tcp(destination: &Destination, source: &Source, limit: Duration) -> io::Result<TcpStream> {
    let Destination { host, port } = destination;
    let start = Instant::now();
    let resolved = deadline::timeout(limit, resolve::addresses(host, *port)).await;
    let silent = || io::Error::new(io::ErrorKind::TimedOut, format!("the name was not resolved within {limit:.1?}"));
    let resolved = resolved.unwrap_or_else(|| Err(silent()))?;
    let connected = connect_to_one_of(&resolved, source, limit.saturating_sub(start.elapsed())).await;
    // The address of a host that is an address already stands beside the error.
    connected.map_err(|mut failed| match (host.parse::<IpAddr>(), &*failed) {
        (_, []) => source.cannot_reach(&resolved),
        (Ok(_), [_]) => failed.remove(0).1,
        _ => joined(&failed),
    })
}

/// Returns the error of each address that was tried.
async fn connect_to_one_of(
    resolved: &[SocketAddr],
    source: &Source,
    limit: Duration,
) -> Result<TcpStream, Vec<(SocketAddr, io::Error)>> {
    let addresses = race::order(resolved.iter().filter(|address| source.can_reach(address)).copied());
    race::first(&addresses, limit, |address| source.connect(address)).await
}

impl Source {
    fn can_reach(&self, address: &SocketAddr) -> bool {
        self.address.is_none_or(|own| own.is_ipv6() == address.is_ipv6())
    }

    /// Returns the error for a host without an address that this source can reach.
    fn cannot_reach(&self, resolved: &[SocketAddr]) -> io::Error {
        match (self.address, resolved) {
            (Some(own), [one, ..]) => io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("it has only addresses such as {}, which cannot be reached from {own}", one.ip()),
            ),
            _ => io::Error::other("the name has no address"),
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
        if let Some(interface) = &self.interface {
            bind_interface(&socket, interface)
                .map_err(|error| because(&error, &format!("cannot bind to the interface {interface:?}")))?;
        }
        if let Some(own) = self.address {
            let own = match (own, address) {
                // A link-local address is valid on one interface only.
                (IpAddr::V6(own), SocketAddr::V6(far)) => SocketAddrV6::new(own, 0, 0, far.scope_id()).into(),
                _ => SocketAddr::new(own, 0),
            };
            socket.bind(own).map_err(|error| because(&error, &format!("cannot bind to the address {}", own.ip())))?;
        }
        socket.connect(address).await
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn bind_interface(socket: &TcpSocket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

/// `ClientBuilder::build` has reported this already.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn bind_interface(_: &TcpSocket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn because(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Joins the errors of all addresses in one line.
fn joined(failed: &[(SocketAddr, io::Error)]) -> io::Error {
    let kind = failed[0].1.kind();
    let kind = if failed.iter().all(|(_, error)| error.kind() == kind) { kind } else { io::ErrorKind::Other };
    let lines: Vec<_> = failed.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    io::Error::new(kind, lines.join("; "))
}

#[cfg(all(test, target_os = "linux", not(wsx_model)))]
mod tests {
    use super::*;
    use socket2::{Domain, SockRef, Socket, Type};
    use std::net::{Ipv4Addr, Ipv6Addr};

    const LIMIT: Duration = Duration::from_secs(10);

    /// A listener whose accept queue is full, so that the kernel drops each further packet that
    /// asks for a connection.
    struct BlackHole {
        address: SocketAddr,
        _listener: Socket,
        _queued: TcpStream,
    }

    impl BlackHole {
        async fn at(address: IpAddr) -> Self {
            let domain = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
            let listener = Socket::new(domain, Type::STREAM, None).unwrap();
            listener.bind(&SocketAddr::new(address, 0).into()).unwrap();
            // The kernel adds one.
            listener.listen(0).unwrap();
            let address = listener.local_addr().unwrap().as_socket().unwrap();
            let queued = TcpStream::connect(address).await.unwrap();
            Self { address, _listener: listener, _queued: queued }
        }
    }

    fn destination(host: &str, port: u16) -> Destination {
        Destination { host: host.to_owned(), port }
    }

    /// Row K11: a dead first address does not keep the client from the second, of the same family
    /// or of the other. The clock is paused, so the second is the one that the test's kernel takes.
    #[tokio::test(start_paused = true)]
    async fn a_dead_first_address_costs_a_quarter_of_a_second() {
        let live = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = live.local_addr().unwrap();
        for dead in [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), Ipv6Addr::LOCALHOST.into()] {
            let dead = BlackHole::at(dead).await;
            let start = Instant::now();
            let stream = connect_to_one_of(&[dead.address, live], &Source::default(), LIMIT).await.unwrap();
            assert_eq!((stream.peer_addr().unwrap(), start.elapsed()), (live, Duration::from_millis(250)));
        }
    }

    /// Row K11: the error names each address with its reason, in one line.
    #[tokio::test(start_paused = true)]
    async fn the_error_names_each_address() {
        let black_hole = BlackHole::at(Ipv4Addr::LOCALHOST.into()).await;
        let dead = black_hole.address;
        let refusing = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), dead.port());
        let failed = connect_to_one_of(&[dead, refusing], &Source::default(), LIMIT).await.unwrap_err();
        let error = joined(&failed);
        let expected = format!("{refusing}: Connection refused (os error 111); {dead}: no answer within 10.0s");
        assert_eq!((error.to_string(), error.kind()), (expected, io::ErrorKind::Other));
        let error = tcp(&destination("127.0.0.2", dead.port()), &Source::default(), LIMIT).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(111));
        let error = tcp(&destination("127.0.0.1", dead.port()), &Source::default(), LIMIT).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// Row K13: the socket has the interface and the address that the program chose.
    #[tokio::test]
    async fn a_socket_is_bound_to_its_source() {
        let live = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = Ipv4Addr::new(127, 0, 0, 5);
        let source = Source { address: Some(own.into()), interface: Some("lo".to_owned()) };
        let socket = source.connect(live.local_addr().unwrap()).await.unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), own);
        assert_eq!(SockRef::from(&socket).device().unwrap().as_deref(), Some(&b"lo"[..]));
    }

    /// Row K13: a source that is missing is an error that names it.
    #[tokio::test]
    async fn the_error_names_the_source_that_is_missing() {
        let destination = destination("127.0.0.1", 1);
        for (address, interface, expected) in [
            (None, Some("wsx-none"), "cannot bind to the interface \"wsx-none\": No such device"),
            (Some("192.0.2.1"), None, "cannot bind to the address 192.0.2.1: Cannot assign"),
            (Some("::1"), None, "it has only addresses such as 127.0.0.1, which cannot be reached from ::1"),
        ] {
            let source =
                Source { address: address.map(|ip| ip.parse().unwrap()), interface: interface.map(str::to_owned) };
            let error = tcp(&destination, &source, LIMIT).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
