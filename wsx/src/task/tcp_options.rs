//! The options of a TCP socket, which are set before the handshake. It does not know TLS or
//! WebSocket.
use crate::config::{Config, TcpKeepalive};
use socket2::SockRef;
use std::time::Duration;
use tokio::net::TcpStream;

/// Maximum of Linux for the times of TCP keepalive, in seconds.
const MAX_KEEPALIVE: u64 = 32_767;
/// Maximum of Linux for the number of probes.
const MAX_PROBES: u32 = 127;
/// Maximum of Linux for the user timeout, in milliseconds.
const MAX_USER_TIMEOUT: u64 = i32::MAX as u64;
/// Maximum number of unsent bytes in the kernel. Two of our writes fill it.
///
/// By default the kernel takes as much as its buffer holds, 2.5 MB on a link to a proxy on the same
/// machine. It then takes more only after a third of that was sent. A slow peer needs longer for a
/// third than the write timeout, and looks dead.
const UNSENT: u32 = 128 * 1024;

/// Sets the options. The kernel accepts all of these values. It returns an error only for a socket
/// that has ended, and then the first read reports that.
pub(crate) fn prepare(socket: &TcpStream, config: &Config) {
    // Messages are written whole, so the algorithm of RFC 896 would only delay them.
    let _ = socket.set_nodelay(true);
    let socket = SockRef::from(socket);
    limit_unsent(&socket);
    if let Some(keepalive) = config.tcp_keepalive {
        let _ = socket.set_tcp_keepalive(&parameters(keepalive));
    }
    if let Some(timeout) = config.tcp_user_timeout {
        set_user_timeout(&socket, timeout);
    }
}

fn parameters(TcpKeepalive { idle, interval, probes }: TcpKeepalive) -> socket2::TcpKeepalive {
    let parameters = socket2::TcpKeepalive::new().with_time(whole_seconds(idle));
    with_probes(parameters, whole_seconds(interval), probes.clamp(1, MAX_PROBES))
}

/// Rounds up, because the kernel counts in seconds and rejects zero.
fn whole_seconds(time: Duration) -> Duration {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    Duration::from_secs(seconds.clamp(1, MAX_KEEPALIVE))
}

#[cfg(any(target_vendor = "apple", target_os = "android", target_os = "freebsd", target_os = "linux", windows))]
fn with_probes(parameters: socket2::TcpKeepalive, interval: Duration, probes: u32) -> socket2::TcpKeepalive {
    parameters.with_interval(interval).with_retries(probes)
}

#[cfg(not(any(target_vendor = "apple", target_os = "android", target_os = "freebsd", target_os = "linux", windows)))]
fn with_probes(parameters: socket2::TcpKeepalive, _: Duration, _: u32) -> socket2::TcpKeepalive {
    parameters
}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn limit_unsent(socket: &SockRef<'_>) {
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn limit_unsent(_: &SockRef<'_>) {}

#[cfg(any(target_os = "android", target_os = "linux"))]
fn set_user_timeout(socket: &SockRef<'_>, timeout: Duration) {
    // For the kernel, zero means its default.
    let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).clamp(1, MAX_USER_TIMEOUT);
    let _ = socket.set_tcp_user_timeout(Some(Duration::from_millis(milliseconds)));
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn set_user_timeout(_: &SockRef<'_>, _: Duration) {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns both ends of a connection, with the options set.
    async fn prepared(config: &Config) -> [TcpStream; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        prepare(&near, config);
        prepare(&far, config);
        [near, far]
    }

    fn keepalive_of(socket: &TcpStream) -> (bool, Duration, Duration, u32) {
        let socket = SockRef::from(socket);
        (
            socket.keepalive().unwrap(),
            socket.tcp_keepalive_time().unwrap(),
            socket.tcp_keepalive_interval().unwrap(),
            socket.tcp_keepalive_retries().unwrap(),
        )
    }

    fn user_timeout_of(socket: &TcpStream) -> Option<Duration> {
        SockRef::from(socket).tcp_user_timeout().unwrap().filter(|timeout| !timeout.is_zero())
    }

    /// Row R6: the options of the configuration are set.
    #[tokio::test]
    async fn the_socket_has_the_options_of_the_configuration() {
        let config = Config::default().tcp_user_timeout(Duration::from_millis(20_500)).tcp_keepalive(
            60 * SECOND,
            Duration::from_millis(9_001),
            4,
        );
        for socket in prepared(&config).await {
            assert!(socket.nodelay().unwrap());
            assert_eq!(user_timeout_of(&socket), Some(Duration::from_millis(20_500)));
            assert_eq!(keepalive_of(&socket), (true, 60 * SECOND, 10 * SECOND, 4));
        }
    }

    #[tokio::test]
    async fn by_default_only_the_unsent_bytes_and_the_delay_are_limited() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let untouched = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        for socket in prepared(&Config::default()).await {
            assert!(socket.nodelay().unwrap());
            assert_eq!(SockRef::from(&socket).tcp_notsent_lowat().unwrap(), 131_072);
            assert_eq!(user_timeout_of(&socket), None);
            assert_eq!(keepalive_of(&socket), keepalive_of(&untouched));
            assert!(!keepalive_of(&socket).0);
        }
    }

    /// Otherwise the option would be missing silently.
    #[tokio::test]
    async fn every_value_is_one_that_the_kernel_accepts() {
        let least = Config::default().tcp_user_timeout(Duration::ZERO).tcp_keepalive(Duration::ZERO, Duration::ZERO, 0);
        for socket in prepared(&least).await {
            assert_eq!(user_timeout_of(&socket), Some(Duration::from_millis(1)));
            assert_eq!(keepalive_of(&socket), (true, SECOND, SECOND, 1));
        }
        let most =
            Config::default().tcp_user_timeout(Duration::MAX).tcp_keepalive(Duration::MAX, Duration::MAX, u32::MAX);
        for socket in prepared(&most).await {
            assert_eq!(user_timeout_of(&socket), Some(Duration::from_millis(MAX_USER_TIMEOUT)));
            let longest = Duration::from_secs(MAX_KEEPALIVE);
            assert_eq!(keepalive_of(&socket), (true, longest, longest, MAX_PROBES));
        }
    }
}
