//! The TCP socket below a stream, and how many bytes the kernel has not sent yet. It does not know
//! frames.
use std::any::Any;
use tokio::net::TcpStream;

/// Returns the TCP socket below a stream, if the stream is one, or TLS on one.
///
/// The stream may be the application's, so its type decides at run time.
pub(crate) fn of<S: 'static>(stream: &S) -> Option<&TcpStream> {
    let stream: &dyn Any = stream;
    #[cfg(all(feature = "server", feature = "rustls"))]
    if let Some(tls) = stream.downcast_ref::<tokio_rustls::server::TlsStream<TcpStream>>() {
        return Some(tls.get_ref().0);
    }
    stream.downcast_ref()
}

/// Returns the number of bytes that the kernel has taken and not sent yet, rounded down to
/// [`STEP`]. Other systems than Linux do not show it.
///
/// A socket is writable if the number is less than half of `TCP_NOTSENT_LOWAT`. So this looks for
/// the value at which the socket becomes writable, and then restores the option. There is a system
/// call for the number, but not without unsafe code.
#[cfg(target_os = "linux")]
pub(super) fn unsent(socket: &TcpStream) -> Option<usize> {
    /// More than a socket can hold.
    const MAX: u32 = 1 << 30;
    /// A link that sends less in half a write timeout is dead.
    const STEP: u32 = 256;
    let options = socket2::SockRef::from(socket);
    let usual = options.tcp_notsent_lowat().ok()?;
    let is_less_than = |bytes: u32| {
        options.set_tcp_notsent_lowat(2 * bytes).ok()?;
        is_writable(socket)
    };
    // The socket may not be writable for another reason, such as a full buffer.
    let found = is_less_than(MAX).filter(|writable| *writable).and_then(|_| {
        let (mut least, mut more) = (0, MAX);
        while more - least > STEP {
            let middle = least + (more - least) / 2;
            if is_less_than(middle)? {
                more = middle;
            } else {
                least = middle;
            }
        }
        usize::try_from(least).ok()
    });
    let _ = options.set_tcp_notsent_lowat(usual);
    found
}

#[cfg(target_os = "linux")]
fn is_writable(socket: &TcpStream) -> Option<bool> {
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        io::Errno,
    };
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut sockets = [PollFd::new(socket, PollFlags::OUT)];
    loop {
        match poll(&mut sockets, Some(&now)) {
            Ok(_) => return Some(sockets[0].revents().contains(PollFlags::OUT)),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unsent(_: &TcpStream) -> Option<usize> {
    None
}

#[cfg(all(test, target_os = "linux", not(wsx_model)))]
mod tests {
    use super::*;
    use crate::{config::Config, task::tcp_options};
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    /// Row V1: the kernel's number falls when the peer reads, and does not change otherwise.
    #[tokio::test]
    async fn the_number_of_unsent_bytes_falls_while_the_peer_reads() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        tcp_options::prepare(&near, &Config::default());
        assert_eq!(unsent(&near), Some(0));
        near.writable().await.unwrap();
        while near.try_write(&[0; 64 * 1024]).is_ok() {}
        let full = unsent(&near).unwrap();
        assert!((32 * 1024..256 * 1024).contains(&full), "{full}");
        assert_eq!(unsent(&near), Some(full));
        let before = socket2::SockRef::from(&near).tcp_notsent_lowat().unwrap();
        assert_eq!(before, 128 * 1024, "the option was restored");
        let mut bytes = vec![0; 64 * 1024];
        while unsent(&near) == Some(full) {
            far.read_exact(&mut bytes).await.unwrap();
        }
        assert!(unsent(&near).unwrap() < full);
    }
}
