//! Compression between wsx and both libraries, with all parameters: row Z8 of the specification.
//!
//! The observer of our end knows how long a message was on the wire, in both directions. So a text
//! that comes twice shows what the ends agreed on: the second one is short if the first one is in
//! the window of its sender.
use super::{ANY_PORT, Client, Deflate, End, Hub, Language, Ours, Peer, connect};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use std::{any::Any, borrow::Cow};
use wsx::{Config, Connection, RawFrame, connection::Compression};
use wsx_tests::{Server, compressed::CompressionLog, numbered::send_all, within};

/// What the ends allow each other.
#[derive(Clone, Copy, Debug)]
struct Allowed {
    client_context: bool,
    server_context: bool,
    /// The windows of both ends.
    window_bits: u8,
}

impl Allowed {
    const EVERYTHING: Self = Self { client_context: true, server_context: true, window_bits: 15 };

    fn all() -> impl Iterator<Item = Self> {
        let contexts = [(true, true), (true, false), (false, true), (false, false)];
        contexts.into_iter().flat_map(|(client_context, server_context)| {
            [9, 10, 15].map(|window_bits| Self { client_context, server_context, window_bits })
        })
    }

    /// Returns our options.
    fn ours(self) -> Deflate {
        Deflate::default()
            .client_context(self.client_context)
            .server_context(self.server_context)
            .client_window_bits(self.window_bits)
            .server_window_bits(self.window_bits)
    }

    /// Returns the options of a foreign program.
    fn theirs(self) -> Value {
        let mut parameters = json!({});
        if !self.client_context {
            parameters["client_no_context_takeover"] = true.into();
        }
        if !self.server_context {
            parameters["server_no_context_takeover"] = true.into();
        }
        if self.window_bits < 15 {
            parameters["client_max_window_bits"] = self.window_bits.into();
            parameters["server_max_window_bits"] = self.window_bits.into();
        }
        parameters
    }
}

/// A foreign peer that connects as often as a test needs, and our end of the newest connection.
struct Line {
    peer: Peer,
    end: End,
    language: Language,
    conn: Connection,
    ours: Ours,
    watch: CompressionLog,
    /// The server or the client of our end.
    _holds: Box<dyn Any>,
}

impl Line {
    /// Starts a peer and connects it. `theirs` is the operation's key `deflate`.
    async fn open(language: Language, end: End, ours: Option<Deflate>, theirs: Value) -> Self {
        Self::open_with(Peer::start(language, end), language, end, ours, theirs).await
    }

    async fn open_with(mut peer: Peer, language: Language, end: End, deflate: Option<Deflate>, theirs: Value) -> Self {
        let (ours, watch) = (Ours::default(), CompressionLog::default());
        let mut config = Config::default();
        config.deflate = deflate;
        let (conn, holds): (_, Box<dyn Any>) = match end {
            End::Client => {
                let hub = Hub::builder().endpoint(ours.clone()).config(config).observer(watch.clone());
                let server = Server::start(hub.build().unwrap()).await;
                peer.ask(json!({"op": "connect", "url": server.url("box-7"), "deflate": theirs})).await;
                peer.opens(deflate.is_some() && theirs != false).await;
                (server.hub.connection("box-7").expect("the peer is connected"), Box::new(server))
            }
            End::Server => {
                let url = peer.listens(ANY_PORT, json!({"deflate": theirs})).await;
                let client = Client::builder(url).endpoint(ours.clone()).config(config).observer(watch.clone());
                let client = connect(client.reconnect(false)).await;
                peer.opens(deflate.is_some() && theirs != false).await;
                (client.connection().expect("the client has just connected"), Box::new(client))
            }
        };
        Self { peer, end, language, conn, ours, watch, _holds: holds }
    }

    /// Closes the connection, and opens another one with the same peer.
    async fn again(mut self, ours: Option<Deflate>, theirs: Value) -> Self {
        self.conn.close();
        self.peer.receives_close().await;
        Self::open_with(self.peer, self.language, self.end, ours, theirs).await
    }

    /// Makes the peer send a text, which comes back.
    async fn echoes(&mut self, text: &str) {
        self.peer.sends("note", text.into()).await;
        assert!(self.peer.receives_data("noted").await == text, "a text was changed on its way");
    }

    /// Returns how many bytes the next message had on the wire, if it was compressed: there and
    /// back.
    async fn wire_bytes(&self) -> [u64; 2] {
        let both = [self.watch.received.next().await, self.watch.sent.next().await];
        both.map(|Compression { messages, plain_bytes, wire_bytes, .. }| {
            assert!(messages == 1 && wire_bytes < plain_bytes, "{wire_bytes} of {plain_bytes} bytes");
            wire_bytes
        })
    }

    /// Returns whether the second of two equal texts is sent as a repetition: by the peer, and by
    /// us.
    async fn repeats(&mut self, text: &str) -> [bool; 2] {
        self.echoes(text).await;
        let first = self.wire_bytes().await;
        self.echoes(text).await;
        let second = self.wire_bytes().await;
        [4 * second[0] < first[0], 4 * second[1] < first[1]]
    }
}

/// Returns a text that has nothing twice, and still gets shorter.
fn random(length: usize) -> String {
    let mut random = SmallRng::seed_from_u64(7);
    (0..length).map(|_| char::from(random.random_range(b'a'..=b'p'))).collect()
}

/// Row Z8: with the defaults of both ends, messages are compressed in both directions. Ours are
/// that a client has a context of 1,024 bytes, and that a server has none.
async fn compresses_by_default(language: Language, end: End) {
    let mut line = Line::open(language, end, Some(Deflate::default()), json!(true)).await;
    // Without a context, `ws` sends shorter messages as they are.
    let text = random(2000);
    for _ in 0..3 {
        line.echoes(&text).await;
        line.wire_bytes().await;
    }
}

/// Row Z8: our options hold for both ends.
async fn keeps_to_our_parameters(language: Language, end: End) {
    keeps_to_parameters(language, end, |allowed| (allowed, Allowed::EVERYTHING)).await;
}

/// Row Z8: the options of the peer hold for both ends.
async fn sets_the_parameters(language: Language, end: End) {
    keeps_to_parameters(language, end, |allowed| (Allowed::EVERYTHING, allowed)).await;
}

/// `options` are ours and those of the peer.
async fn keeps_to_parameters(language: Language, end: End, options: impl Fn(Allowed) -> (Allowed, Allowed)) {
    let mut line = Line::open(language, end, None, json!(false)).await;
    for allowed in Allowed::all() {
        let (ours, theirs) = options(allowed);
        line = line.again(Some(ours.ours()), theirs.theirs()).await;
        let contexts = match end {
            End::Client => [allowed.client_context, allowed.server_context],
            End::Server => [allowed.server_context, allowed.client_context],
        };
        // zlib does not use the last 262 bytes of a window.
        for (length, window_bits) in [(150, 9), (700, 10), (5000, 15)] {
            let expected = contexts.map(|has_context| has_context && window_bits <= allowed.window_bits);
            assert_eq!(line.repeats(&random(length)).await, expected, "{length} bytes, {allowed:?}");
        }
    }
}

/// Row Z8: fragments of a compressed message arrive as one, and so does a long one. A binary
/// message stays one.
async fn sends_compressed_messages_of_all_kinds(language: Language, end: End) {
    let mut line = Line::open(language, end, None, json!(false)).await;
    for allowed in [Allowed::EVERYTHING, Allowed { client_context: false, server_context: false, window_bits: 9 }] {
        line = line.again(Some(allowed.ours()), allowed.theirs()).await;
        for length in [200, 1000, 100_000] {
            let text = random(length);
            let parts = ["{\"type\":\"note\",\"da", "ta\":\"", &text, &text, "\"}"];
            line.peer.ask(json!({"op": "send_fragments", "parts": parts})).await;
            assert!(line.peer.receives_data("noted").await == text.repeat(2), "fragments of {length} bytes");
            line.wire_bytes().await;
        }

        let numbers: Vec<u8> = (156..=255).cycle().take(2000).collect();
        line.peer.ask(json!({"op": "send_binary", "bytes": numbers})).await;
        assert!(line.ours.raw.next().await == RawFrame::Binary(Cow::Borrowed(&numbers)));
        line.conn.send_binary(&numbers).await.unwrap();
        assert_eq!(line.peer.receives("binary").await["bytes"], json!(numbers));
        line.wire_bytes().await;

        line.echoes(&random(1 << 20)).await;
        line.wire_bytes().await;
    }
}

/// Row Z8: many messages in a row arrive in order, in both directions at once.
async fn sends_many_compressed_messages(language: Language, end: End) {
    const MESSAGES: u64 = 300;
    let mut line = Line::open(language, end, None, json!(false)).await;
    for allowed in [Allowed::EVERYTHING, Allowed { client_context: false, server_context: false, window_bits: 9 }] {
        line = line.again(Some(allowed.ours().min_size(0)), allowed.theirs()).await;
        let text = random(300);
        for n in 0..MESSAGES {
            line.peer.sends("note", format!("{n} {text}").into()).await;
        }
        send_all(0..MESSAGES, |message| line.conn.send(&message)).await;
        let (mut notes, mut numbers) = (0, 0);
        while notes + numbers < 2 * MESSAGES {
            let envelope = line.peer.receives("message").await;
            let envelope: Value = serde_json::from_str(envelope["text"].as_str().unwrap()).unwrap();
            if envelope["type"] == "noted" {
                assert_eq!(envelope["data"], format!("{notes} {text}"));
                notes += 1;
            } else {
                assert_eq!(envelope["data"], numbers);
                numbers += 1;
            }
        }
        for log in [&line.watch.received, &line.watch.sent] {
            let mut messages = 0;
            while messages < MESSAGES {
                messages += log.next().await.messages;
            }
        }
    }
}

/// Row Z8: a peer without compression is served as before, and so is one with compression where we
/// have none.
async fn works_without_compression(language: Language, end: End) {
    let mut line = Line::open(language, end, Some(Deflate::default()), json!(false)).await;
    line.echoes(&random(2000)).await;
    assert!(line.watch.sent.try_next().is_none() && line.watch.received.try_next().is_none());
    line = line.again(None, json!(true)).await;
    line.echoes(&random(2000)).await;
    assert!(line.watch.sent.try_next().is_none() && line.watch.received.try_next().is_none());
}

/// Row Z8: a broadcast reaches peers with different parameters, between messages for each alone.
async fn gets_a_broadcast_among_others(language: Language) {
    let watch = CompressionLog::default();
    let config = Config::default().deflate(Deflate::default().server_context(true).server_window_bits(15));
    let hub = Hub::builder().endpoint(Ours::default()).config(config).observer(watch.clone());
    let server = Server::start(hub.build().unwrap()).await;
    let without = |bits: u8| json!({"server_no_context_takeover": true, "server_max_window_bits": bits});
    let options = [json!(true), json!({}), without(9), without(15), without(15), json!(false)];
    let mut peers = Vec::new();
    for (n, deflate) in options.iter().enumerate() {
        let mut peer = Peer::start(language, End::Client);
        peer.ask(json!({"op": "connect", "url": server.url(&n.to_string()), "deflate": deflate})).await;
        peer.opens(*deflate != false).await;
        peers.push(peer);
    }
    let (all, alone) = (random(3000), random(300));
    for _ in 0..3 {
        let envelope = wsx::Envelope::with_type("all", &all);
        assert_eq!(within(server.hub.broadcast(&envelope)).await.unwrap(), options.len());
        for n in 0..peers.len() {
            let envelope = wsx::Envelope::with_type("alone", &alone);
            within(server.hub.send_to(&n.to_string(), &envelope)).await.unwrap();
        }
        for peer in &mut peers {
            assert!(peer.receives_data("all").await == all && peer.receives_data("alone").await == alone);
        }
    }
    let mut messages = 0;
    // All but those of the last peer.
    while messages < 2 * 3 * (options.len() - 1) as u64 {
        messages += watch.sent.next().await.messages;
    }
}

/// Makes a test of each promise.
macro_rules! keep {
    ($module:ident, $with:tt: $($promise:ident)+) => {
        mod $module {
            use super::*;

            $(#[tokio::test]
            async fn $promise() {
                super::$promise $with.await;
            })+
        }
    };
}

/// Makes the tests of both languages at this end.
macro_rules! end {
    ($python:ident, $node:ident, $end:ident) => {
        end! { $python, (Language::Python, End::$end) }
        end! { $node, (Language::Node, End::$end) }
    };
    ($module:ident, $with:tt) => {
        keep! { $module, $with:
            compresses_by_default
            keeps_to_our_parameters
            sets_the_parameters
            sends_compressed_messages_of_all_kinds
            sends_many_compressed_messages
            works_without_compression
        }
    };
}

end! { python_client, node_client, Client }
end! { python_server, node_server, Server }
keep! { python_clients, (Language::Python): gets_a_broadcast_among_others }
keep! { node_clients, (Language::Node): gets_a_broadcast_among_others }
