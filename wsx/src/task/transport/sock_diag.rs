//! Asks the kernel of Linux about a TCP socket through a netlink socket, as the program `ss` does
//! (`man 7 sock_diag`). It does not know streams.
//!
//! The system call `ioctl` with `SIOCOUTQ` is shorter, but needs unsafe code.
use crate::task::transport::unacknowledged::Unacknowledged;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr},
};
use tokio::net::TcpStream;

/// The length of `nlmsghdr`.
const HEADER: usize = 16;
/// The type of question and answer.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// The attribute with `tcp_info`. Its fields follow, by their place.
const INET_DIAG_INFO: u16 = 2;
/// `tcpi_ca_state`.
const CONGESTION_STATE: usize = 1;
/// `TCP_CA_Recovery`. The one state after it is `TCP_CA_Loss`.
const RECOVERY: u8 = 3;
/// `tcpi_retransmits`.
const RETRANSMITS: usize = 2;
/// `tcpi_segs_in`.
const SEGMENTS_IN: usize = 140;

/// Returns what the kernel has taken and the peer's kernel has not acknowledged. Returns `None`
/// where the kernel does not allow the question.
pub(super) fn unacknowledged(socket: &TcpStream) -> Option<Unacknowledged> {
    const AF_NETLINK: i32 = 16;
    const NETLINK_SOCK_DIAG: i32 = 4;
    /// Where the answer has the length of the write queue, `idiag_wqueue`.
    const WRITE_QUEUE: usize = HEADER + 60;
    /// The length of `inet_diag_msg`. Attributes follow it.
    const MESSAGE: usize = HEADER + 72;

    let (local, peer) = (socket.local_addr().ok()?, socket.peer_addr().ok()?);
    let kernel = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_SOCK_DIAG))).ok()?;
    // The kernel answers during the write.
    kernel.set_nonblocking(true).ok()?;
    (&kernel).write_all(&question(local, peer)).ok()?;
    let mut answer = [0; 1024];
    let length = (&kernel).read(&mut answer).ok()?;
    let answer = &answer[..length];
    if answer.get(4..6)? != SOCK_DIAG_BY_FAMILY.to_ne_bytes() {
        return None;
    }
    let bytes = u32_at(answer, WRITE_QUEUE)?;
    Some(Unacknowledged { bytes, ..resending(&answer[MESSAGE.min(length)..]).unwrap_or_default() })
}

/// Returns whether lost packets are sent again, and the number of received packets. A kernel before
/// Linux 4.2 does not count these.
fn resending(attributes: &[u8]) -> Option<Unacknowledged> {
    let info = attribute(attributes, INET_DIAG_INFO)?;
    let is_resending = *info.get(CONGESTION_STATE)? >= RECOVERY || *info.get(RETRANSMITS)? > 0;
    Some(Unacknowledged { bytes: 0, is_resending, packets: u32_at(info, SEGMENTS_IN)? })
}

/// Returns the value of an attribute, each of which begins with its length and its type.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?);
        if kind == wanted {
            return attributes.get(4..length);
        }
        // At least its header, so that this comes to an end.
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Returns the bytes of `nlmsghdr` and `inet_diag_req_v2`, which name one TCP socket.
fn question(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    const LENGTH: u32 = 72;
    const NLM_F_REQUEST: u16 = 1;
    const IPPROTO_TCP: u8 = 6;
    const ANY: [u8; 4] = u32::MAX.to_ne_bytes();
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
        IpAddr::V6(address) => address.octets(),
    };
    let (family, scope) = match local {
        SocketAddr::V4(_) => (2_u8, 0),
        SocketAddr::V6(address) => (10, address.scope_id()),
    };
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend_from_slice(&LENGTH.to_ne_bytes());
    bytes.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    // The sequence number and the port are zero, because this socket asks only once.
    bytes.extend_from_slice(&[0; 8]);
    // The family, the protocol, the attributes as bits, padding, and every state.
    bytes.extend_from_slice(&[family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
    bytes.extend_from_slice(&ANY);
    bytes.extend_from_slice(&local.port().to_be_bytes());
    bytes.extend_from_slice(&peer.port().to_be_bytes());
    bytes.extend_from_slice(&octets(local.ip()));
    bytes.extend_from_slice(&octets(peer.ip()));
    bytes.extend_from_slice(&scope.to_ne_bytes());
    // Any cookie.
    bytes.extend_from_slice(&[ANY, ANY].concat());
    bytes
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use tokio::{io::AsyncReadExt, net::TcpListener};

    fn bytes(socket: &TcpStream) -> Option<u32> {
        unacknowledged(socket).map(|unacknowledged| unacknowledged.bytes)
    }

    /// Row V1: a working link does not resend, and its packets are counted.
    #[tokio::test]
    async fn the_packets_of_the_peer_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let before = unacknowledged(&near).unwrap();
        far.try_write(b"hi").unwrap();
        near.read_exact(&mut [0; 2]).await.unwrap();
        let after = unacknowledged(&near).unwrap();
        assert!(after.packets > before.packets && !after.is_resending, "{before:?} {after:?}");
    }

    /// Row V1: the number falls only while the peer takes bytes.
    #[tokio::test]
    async fn the_number_of_unacknowledged_bytes_falls_while_the_peer_reads() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).await.unwrap();
            let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut far, _) = listener.accept().await.unwrap();
            assert_eq!(bytes(&near), Some(0), "{address}");
            near.writable().await.unwrap();
            while near.try_write(&[0; 64 * 1024]).is_ok() {}
            let full = bytes(&near).unwrap();
            assert!(full > 0);
            let mut taken = vec![0; 64 * 1024];
            while bytes(&near).unwrap() >= full {
                far.read_exact(&mut taken).await.unwrap();
            }
        }
    }

    /// Row V1: an old kernel answers with less.
    #[test]
    fn an_answer_without_the_number_of_packets_says_nothing_about_lost_ones() {
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(value.len() + 4).unwrap();
            let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
            [&length.to_ne_bytes(), &kind.to_ne_bytes(), value, &padding].concat()
        };
        let mut info = [0; SEGMENTS_IN + 4];
        (info[CONGESTION_STATE], info[SEGMENTS_IN]) = (RECOVERY, 7);
        let other = attribute(8, b"bbr");
        let known = resending(&[other.clone(), attribute(INET_DIAG_INFO, &info)].concat()).unwrap();
        assert!(known.is_resending);
        assert_eq!(known.packets.to_ne_bytes()[0], 7);
        assert_eq!(resending(&attribute(INET_DIAG_INFO, &info[..SEGMENTS_IN])), None);
        assert_eq!(resending(&other), None);
        assert_eq!(resending(&[0; 64]), None, "an attribute without a length comes to an end");
    }

    /// A server that listens on all addresses has the IPv4 addresses of its peers in IPv6.
    #[tokio::test]
    async fn a_mapped_address_is_found() {
        let listener = TcpListener::bind("[::]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let near = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        assert_eq!((bytes(&near), bytes(&far)), (Some(0), Some(0)));
    }
}
