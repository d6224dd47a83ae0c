//! Frames as RFC 6455 has them, to the letter, sent by a peer that writes every byte by hand: row
//! F1 of the specification.
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wsx::{CloseCode, Closed, ClosedBy, Config, Hub, RawFrame};
use wsx_tests::{
    Log, Memory, Server,
    frame::masked_frame,
    handshake::{head, status, upgrade},
    recorder, within,
};

#[derive(wsx::Endpoint, Default)]
struct Station {
    messages: Log<String>,
}

#[wsx::handler("__raw__", on = Station)]
fn on_raw(station: &Station, frame: RawFrame<'_>) {
    station.messages.add(frame.as_text().unwrap_or("binary").to_owned());
}

async fn station(config: Config) -> (Server<Station>, Memory) {
    let (recorder, memory) = recorder();
    let hub = Hub::builder().endpoint(Station::default()).config(config).observer(recorder);
    (Server::start(hub.build().unwrap()).await, memory)
}

/// A peer after its handshake.
struct Raw(TcpStream);

impl Raw {
    async fn connect(server: &Server<Station>) -> Self {
        let mut tcp = within(TcpStream::connect(&server.address)).await.unwrap();
        tcp.write_all(upgrade("/ws?id=raw", "").as_bytes()).await.unwrap();
        assert_eq!(status(&head(&mut tcp).await), 101);
        Self(tcp)
    }

    async fn send(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.unwrap();
    }

    /// Returns the first byte and the payload of the next frame, which is short and not masked.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        within(async {
            let mut header = [0; 2];
            self.0.read_exact(&mut header).await.unwrap();
            assert!(header[1] < 126, "a short frame without a mask: {header:?}");
            let mut payload = vec![0; usize::from(header[1])];
            self.0.read_exact(&mut payload).await.unwrap();
            (header[0], payload)
        })
        .await
    }

    /// Returns the code of the close frame, which must come next.
    async fn close(&mut self) -> u16 {
        match self.frame().await {
            (0x88, payload) => u16::from_be_bytes([payload[0], payload[1]]),
            frame => panic!("not a close frame: {frame:?}"),
        }
    }
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    masked_frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

/// Sends the bytes and nothing after them. Returns the code in the answer, and the reported end.
async fn answered(bytes: &[u8]) -> (u16, Closed) {
    let (server, mut memory) = station(Config::default().max_message_size(1000)).await;
    let mut peer = Raw::connect(&server).await;
    peer.send(bytes).await;
    let code = peer.close().await;
    drop(peer);
    (code, memory.connection_closed().await.1)
}

/// What violates the RFC is answered with our code, and reported as ours. The header is enough: the
/// payload never comes.
#[tokio::test]
async fn a_violation_is_answered_from_the_header_alone() {
    for (bytes, code) in [
        (&b"\x81\xfe\0\x7d\0\0\0\0"[..], 1002), // 125 bytes, with a length of 16 bits
        (b"\x81\xff\0\0\0\0\0\0\x7d\0\0\0\0\0", 1002), // 32,000 bytes, with a length of 64 bits
        (b"\x89\xfe\0\x05\0\0\0\0", 1002),      // a ping of 5 bytes, with a length of 16 bits
        (b"\x81\xff\x80\0\0\0\0\0\0\x01\0\0\0\0", 1002), // the top bit of the length
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009), // the longest length
        (b"\x89\xfe\0\x7e\0\0\0\0", 1002),      // a ping of 126 bytes
        (b"\x88\xfe\0\x7e\0\0\0\0", 1002),      // a close of 126 bytes
        (b"\x09\x81\0\0\0\0", 1002),            // a fragmented ping
        (b"\x01\x80\0\0\0\0\x81\x81\0\0\0\0", 1002), // a message within a message
        (b"\x80\x81\0\0\0\0", 1002),            // nothing to continue
        (b"\xa1\x81\0\0\0\0", 1002),            // a reserved bit
        (b"\x8b\x81\0\0\0\0", 1002),            // a reserved opcode
        (b"\x81\x01", 1002),                    // not masked
    ] {
        let (answer, closed) = answered(bytes).await;
        assert_eq!((answer, closed.code, closed.by), (code, code.into(), ClosedBy::Us), "{bytes:?}: {closed:?}");
    }
}

/// Row T6: fragments count as they arrive. The header of the fragment that exceeds the limit is
/// answered with 1009.
#[tokio::test]
async fn a_fragment_that_exceeds_the_limit_is_answered_before_it_arrives() {
    for last in [0x00, 0x80] {
        let bytes =
            [masked_frame(0x01, &[b'x'; 600]), masked_frame(0x00, &[b'x'; 300]), vec![last, 0xe5, 0, 0, 0, 0]].concat();
        let (answer, closed) = answered(&bytes).await;
        assert_eq!((answer, closed.by), (1009, ClosedBy::Us));
        assert!(closed.reason.contains("1001 bytes"), "{}", closed.reason);
    }
}

/// Text that is not UTF-8 is rejected with the fragment that makes it invalid. A character may be
/// cut between two fragments.
#[tokio::test]
async fn text_in_fragments_is_rejected_as_soon_as_it_is_not_utf8() {
    let (answer, closed) = answered(&[masked_frame(0x01, b"\xe2\x82"), masked_frame(0x00, b"x")].concat()).await;
    assert_eq!((answer, closed.by), (1007, ClosedBy::Us));
    let (answer, closed) = answered(&[masked_frame(0x01, b"ok"), masked_frame(0x80, b"\xe2\x82")].concat()).await;
    assert_eq!((answer, closed.by), (1007, ClosedBy::Us));
    let (server, _memory) = station(Config::default()).await;
    let mut peer = Raw::connect(&server).await;
    peer.send(&[masked_frame(0x01, b"\xe2"), masked_frame(0x00, b"\x82"), masked_frame(0x80, b"\xac")].concat()).await;
    assert_eq!(server.hub.endpoint().messages.next().await, "€");
}

/// A close frame with a code that must not be in one, or with half a code, is a violation of the
/// peer. It is not reported as the peer's close.
#[tokio::test]
async fn an_invalid_close_is_answered_and_reported_as_our_own() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        let (answer, closed) = answered(&close(code, b"bye")).await;
        assert_eq!((answer, closed.code, closed.by), (1002, CloseCode::PROTOCOL_ERROR, ClosedBy::Us), "{code}");
        assert!(closed.reason.contains(&code.to_string()), "{}", closed.reason);
    }
    let (answer, closed) = answered(&masked_frame(0x88, b"\x03")).await;
    assert_eq!((answer, closed.by), (1002, ClosedBy::Us));
    let (answer, closed) = answered(&close(1000, b"\xff")).await;
    assert_eq!((answer, closed.by), (1007, ClosedBy::Us));
}

/// Every code that is allowed is the peer's close, and is answered with itself: 1014 too.
#[tokio::test]
async fn an_allowed_close_is_the_peers() {
    for code in [1000, 1001, 1003, 1007, 1010, 1011, 1012, 1013, 1014, 3000, 4999] {
        let (answer, closed) = answered(&close(code, b"bye")).await;
        assert_eq!((answer, closed.code, closed.by), (code, code.into(), ClosedBy::Peer));
        assert_eq!(closed.reason, "bye");
    }
}

/// Control frames come between the fragments of a message. The limit on messages is not one on
/// control frames.
#[tokio::test]
async fn control_frames_come_between_fragments_and_may_be_longer_than_a_message() {
    let (server, mut memory) = station(Config::default().max_message_size(10)).await;
    let mut peer = Raw::connect(&server).await;
    let (ping, reason) = ([b'p'; 125], [b'r'; 123]);
    peer.send(&masked_frame(0x01, b"01234")).await;
    peer.send(&masked_frame(0x89, &ping)).await;
    assert_eq!(peer.frame().await, (0x8a, ping.to_vec()));
    peer.send(&masked_frame(0x8a, &ping)).await;
    peer.send(&[masked_frame(0x00, b""), masked_frame(0x80, b"56789")].concat()).await;
    assert_eq!(server.hub.endpoint().messages.next().await, "0123456789");
    // A close ends the message that it interrupts.
    peer.send(&[masked_frame(0x01, b"never"), close(4000, &reason)].concat()).await;
    assert_eq!(peer.close().await, 4000);
    let (_, closed) = memory.connection_closed().await;
    assert_eq!((closed.by, closed.reason.as_bytes()), (ClosedBy::Peer, &reason[..]));
    assert_eq!(server.hub.endpoint().messages.try_next(), None);
}
