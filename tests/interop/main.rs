//! wsx at one end, a WebSocket library of others at the other: Python's `websockets` and Node's
//! `ws`, each as a client of our hub and as a server for our client.
//!
//! The foreign programs are in `interop/`. They read operations from standard input and write
//! events to standard output, each a JSON object on a line. Each promise is a function here, named
//! after what the foreign peer does or gets. The modules at the end run every promise with every
//! peer, and most of them again with compression.
mod compressed;
mod kept;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{borrow::Cow, path::Path, pin::pin, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use wsx::{
    Backoff, CancellationToken, Client, CloseCode, Closed, ClosedBy, Config, ConnectError, Connection, Deflate,
    Envelope, Hub, RawFrame, Rejection, RequestError, SendError,
    client::ClientBuilder,
    connection::Asking,
    http::{StatusCode, Uri},
    server::HubBuilder,
};
use wsx_tests::{
    Log, Memory, Server,
    numbered::{Arrivals, Numbered, send_all},
    recorder,
    weak_link::{WeakLink, Weakness},
    within,
};

/// Time limit for each wait for a foreign program. Starting one takes most of a second on a busy
/// machine.
const DEADLINE: Duration = Duration::from_secs(10);

const ANY_PORT: (&str, u16) = ("127.0.0.1", 0);

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
struct Telemetry {
    celsius: f64,
}

#[derive(Serialize, wsx::Message)]
struct Cmd {
    n: u32,
}

/// A request of both ends.
#[derive(Serialize, Deserialize, wsx::Message)]
struct Add {
    a: i64,
    b: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
struct Sum {
    sum: i64,
}

/// A request of both ends, with which an end asks back as many times as it says.
#[derive(Serialize, Deserialize, wsx::Message)]
struct AskBack {
    depth: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
struct Asked {
    depth: u8,
}

/// A request that is not answered until the test says so. The number is of a foreign peer alone.
#[derive(Serialize, wsx::Message)]
struct Hold {
    n: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
struct Held {
    n: u8,
}

/// A request that each end refuses.
#[derive(Serialize, Deserialize, wsx::Message)]
struct Reboot {
    delay_s: u32,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Rebooted {}

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
struct InUse {
    until_s: u32,
}

wsx::protocol! {
    Cinema v1 {
        House <-> Screen: Reboot -> Rebooted | InUse;
    }
}

/// An endpoint of this protocol.
#[derive(wsx::Endpoint)]
#[wsx(side = House)]
struct Station;

#[wsx::handler(on = Station)]
fn on_reboot(Reboot { delay_s }: Reboot) -> Result<Rebooted, InUse> {
    Err(InUse { until_s: delay_s + 90 })
}

/// Our endpoint, the same for the hub and for the client. It logs what it handles.
#[derive(wsx::Endpoint, Clone, Default)]
struct Ours {
    telemetry: Log<Telemetry>,
    numbers: Arrivals,
    raw: Log<RawFrame<'static>>,
    closed: Log<Closed>,
    /// Lets one `hold` be answered.
    released: Arc<Notify>,
}

#[wsx::handler("telemetry", on = Ours)]
fn on_telemetry(ours: &Ours, message: Telemetry) -> Cmd {
    ours.telemetry.add(message);
    Cmd { n: 1 }
}

#[wsx::handler("n", on = Ours)]
fn on_number(ours: &Ours, Numbered(number): Numbered) {
    ours.numbers.add(0, number);
}

#[wsx::handler("note", on = Ours)]
fn on_note(text: String) -> Envelope<String> {
    Envelope::with_type("noted", text)
}

#[wsx::handler("add", on = Ours)]
fn on_add(Add { a, b }: Add) -> Sum {
    Sum { sum: a + b }
}

#[wsx::handler("fail", on = Ours)]
fn on_fail() -> Result<(), &'static str> {
    Err("asked to fail")
}

#[wsx::handler("hold", on = Ours)]
async fn on_hold(ours: &Ours) -> Held {
    ours.released.notified().await;
    Held { n: 0 }
}

#[wsx::handler("ask_back", on = Ours)]
async fn on_ask_back(AskBack { depth }: AskBack, conn: &Connection) -> Result<Asked, RequestError> {
    if depth > 0 {
        conn.request_as::<Asked>(&AskBack { depth: depth - 1 }).await?;
    }
    Ok(Asked { depth })
}

#[wsx::handler("__raw__", on = Ours)]
fn on_raw(ours: &Ours, frame: RawFrame<'_>) {
    ours.raw.add(frame.into_owned());
}

#[wsx::handler("__close__", on = Ours)]
fn on_close(ours: &Ours, closed: Closed) {
    ours.closed.add(closed);
}

#[derive(Clone, Copy)]
enum Language {
    Python,
    Node,
    /// With compression at both ends.
    CompressingPython,
    CompressingNode,
}

impl Language {
    fn compresses(self) -> bool {
        matches!(self, Self::CompressingPython | Self::CompressingNode)
    }

    /// Returns the options of our end. With compression, each message that gets shorter is
    /// compressed, and both ends have a context.
    fn config(self) -> Config {
        let config = Config::default();
        if self.compresses() { config.deflate(Deflate::default().server_context(true).min_size(0)) } else { config }
    }

    /// Returns the builder of a hub for peers in this language.
    fn hub(self, ours: Ours) -> HubBuilder<Ours> {
        Hub::builder().endpoint(ours).config(self.config())
    }

    /// Returns the builder of a client for a server in this language.
    fn client(self, url: &str, ours: Ours) -> ClientBuilder<Ours> {
        Client::builder(url).endpoint(ours).config(self.config())
    }
}

/// The end of the connection that the foreign program is.
#[derive(Clone, Copy)]
enum End {
    Client,
    Server,
}

/// A foreign program. Dropping it kills it.
struct Peer {
    process: Child,
    operations: ChildStdin,
    /// Filled by a task of its own, so that a full pipe never blocks the program. Unbounded,
    /// because a test causes a bounded number of events.
    events: mpsc::UnboundedReceiver<String>,
}

impl Peer {
    fn start(language: Language, end: End) -> Self {
        let script = match (language, end) {
            (Language::Python | Language::CompressingPython, End::Client) => "client.py",
            (Language::Python | Language::CompressingPython, End::Server) => "server.py",
            (Language::Node | Language::CompressingNode, End::Client) => "client.mjs",
            (Language::Node | Language::CompressingNode, End::Server) => "server.mjs",
        };
        Self::run(language, script)
    }

    fn run(language: Language, script: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
        let (program, library) = match language {
            Language::Python | Language::CompressingPython => (folder.join(".venv/bin/python"), ".venv/bin/python"),
            Language::Node | Language::CompressingNode => ("node".into(), "node_modules/ws"),
        };
        assert!(
            folder.join(library).exists(),
            "tests/interop/{library} is missing: run ./tests/run.sh once, it installs them"
        );
        let mut process = Command::new(&program)
            .arg(folder.join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        let operations = process.stdin.take().expect("standard input is piped");
        let mut lines = BufReader::new(process.stdout.take().expect("standard output is piped")).lines();
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, operations, events }
    }

    /// Starts a client and connects it to this URL.
    async fn connected(language: Language, url: &str) -> Self {
        let mut peer = Self::start(language, End::Client);
        peer.ask(json!({"op": "connect", "url": url})).await;
        peer.opens(language.compresses()).await;
        peer
    }

    /// Waits for a connection, on which both ends agree on compression if they should.
    async fn opens(&mut self, compresses: bool) {
        let expected = if compresses { "permessage-deflate" } else { "" };
        assert_eq!(self.receives("open").await["extensions"], expected);
    }

    /// Starts a server at this address with these options, and returns its URL.
    async fn listening(language: Language, address: (&str, u16), mut options: Value) -> (Self, String) {
        let mut peer = Self::start(language, End::Server);
        if language.compresses() {
            options["deflate"] = json!({});
        }
        let url = peer.listens(address, options).await;
        (peer, url)
    }

    /// Makes a server listen at this address with these options, and returns its URL.
    async fn listens(&mut self, (host, port): (&str, u16), mut options: Value) -> String {
        options["op"] = "listen".into();
        options["host"] = host.into();
        options["port"] = port.into();
        self.ask(options).await;
        let port = self.receives("listening").await["port"].take();
        format!("ws://{host}:{port}/ws")
    }

    async fn ask(&mut self, operation: Value) {
        let line = format!("{operation}\n");
        let written = timeout(DEADLINE, self.operations.write_all(line.as_bytes())).await;
        written.expect("the foreign program reads").expect("the foreign program runs");
    }

    /// Returns the next event, which must be of this kind.
    async fn receives(&mut self, kind: &str) -> Value {
        let event = self.next(kind).await;
        assert!(event["event"] == kind, "expected {kind:?}, got {:.300}", event.to_string());
        event
    }

    /// Returns the next event, of any kind. A panic names the expected one.
    async fn next(&mut self, kind: &str) -> Value {
        let Ok(line) = timeout(DEADLINE, self.events.recv()).await else {
            panic!("the foreign program wrote nothing within {DEADLINE:?}, expected {kind:?}");
        };
        let line = line.unwrap_or_else(|| {
            panic!("the foreign program exited, expected {kind:?}; its errors are on standard error")
        });
        serde_json::from_str(&line).expect("an event is JSON")
    }

    async fn sends(&mut self, message_type: &str, data: Value) {
        let envelope = json!({"ver": 1, "type": message_type, "ts": 1_732_969_200, "data": data});
        self.ask(json!({"op": "send_text", "text": envelope.to_string()})).await;
    }

    /// Makes the peer ask us. The keys are `id` and `ttl`, or some of them.
    async fn requests(&mut self, message_type: &str, data: Value, keys: Value) {
        let mut operation = keys;
        operation["op"] = "request".into();
        operation["type"] = message_type.into();
        operation["data"] = data;
        self.ask(operation).await;
    }

    /// Returns the next reply that the peer received, or the failure in its place: `type`, `re`,
    /// and `data` or `err`.
    async fn receives_reply(&mut self) -> Value {
        let mut envelope = self.receives("reply").await["envelope"].take();
        let keys = envelope.as_object_mut().expect("an envelope is an object");
        keys.remove("ver").zip(keys.remove("ts")).expect("a reply is an envelope");
        envelope
    }

    /// Returns the data of the next message, which must be an envelope of this type.
    async fn receives_data(&mut self, message_type: &str) -> Value {
        let event = self.receives("message").await;
        let mut envelope: Value = serde_json::from_str(event["text"].as_str().unwrap()).expect("an envelope is JSON");
        assert_eq!(envelope["type"], message_type);
        envelope["data"].take()
    }

    async fn receives_close(&mut self) -> (u64, String) {
        let event = self.receives("close").await;
        (event["code"].as_u64().unwrap(), event["reason"].as_str().unwrap().to_owned())
    }

    /// Kills the program as `kill -9` does, and waits until its sockets are closed.
    async fn kill(mut self) {
        timeout(DEADLINE, self.process.kill()).await.expect("a killed process exits").expect("the process was running");
    }
}

/// Our end, which can ask the peer.
enum Asker {
    Hub(Hub<Ours>),
    Client(Client<Ours>),
}

impl Asker {
    fn asks<R: wsx::Message + DeserializeOwned>(
        &self,
        message: &(impl wsx::Message + Serialize),
    ) -> Asking<'static, R> {
        match self {
            Self::Hub(hub) => hub.request_as("box-7", message),
            Self::Client(client) => client.request_as(message),
        }
    }
}

/// A foreign peer and wsx, connected.
struct Talk {
    peer: Peer,
    /// Our end of the connection.
    conn: Connection,
    asker: Asker,
    ours: Ours,
    /// The events of our observer.
    memory: Memory,
    /// The link between the two, if it is a weak one.
    _link: Option<WeakLink>,
}

impl Talk {
    async fn open(language: Language, end: End) -> Self {
        Self::open_over(None, language, end).await
    }

    /// Connects the two over a weak link.
    async fn open_over(weakness: Option<Weakness>, language: Language, end: End) -> Self {
        let ours = Ours::default();
        let (recorder, memory) = recorder();
        match end {
            End::Client => {
                let hub = language.hub(ours.clone()).observer(recorder).build().unwrap();
                let server = Server::start(hub).await;
                let (url, link) = over(weakness, server.url("box-7"));
                let peer = Peer::connected(language, &url).await;
                let conn = server
                    .hub
                    .connection("box-7")
                    .expect("the connection is in the hub before its handshake is answered");
                Self { peer, conn, asker: Asker::Hub(server.hub), ours, memory, _link: link }
            }
            End::Server => {
                let (mut peer, url) = Peer::listening(language, ANY_PORT, json!({})).await;
                let (url, link) = over(weakness, url);
                let client = language.client(&url, ours.clone()).reconnect(false).observer(recorder);
                let client = connect(client).await;
                let conn = client.connection().expect("the client has just connected");
                peer.opens(language.compresses()).await;
                Self { peer, conn, asker: Asker::Client(client), ours, memory, _link: link }
            }
        }
    }

    /// Asserts that the connection is open and that both ends work.
    async fn still_works(&mut self) {
        self.peer.sends("note", json!("still working")).await;
        assert_eq!(self.peer.receives_data("noted").await, "still working");
    }
}

/// Returns the URL to use for this one, with the link in between if there is one.
fn over(weakness: Option<Weakness>, direct: String) -> (String, Option<WeakLink>) {
    let Some(weakness) = weakness else { return (direct, None) };
    let address = direct.parse::<Uri>().expect("a URL").authority().expect("the URL has an address").to_string();
    let link = WeakLink::start(&address, weakness);
    (link.url(&direct), Some(link))
}

async fn connect(client: ClientBuilder<Ours>) -> Client<Ours> {
    let client = client.build().unwrap();
    within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
    client
}

/// Code, reason, and which end closed.
fn parts(closed: Closed) -> (u16, String, ClosedBy) {
    (closed.code.into(), closed.reason, closed.by)
}

/// Rows E1, K1, M1, T1 of the specification: telemetry reaches its typed handler, the reply comes
/// back, and a command is sent on its own.
async fn sends_telemetry_and_gets_commands(language: Language, end: End) {
    let Talk { mut peer, conn, ours, .. } = Talk::open(language, end).await;
    peer.sends("telemetry", json!({"celsius": 21.5})).await;
    assert_eq!(ours.telemetry.next().await, Telemetry { celsius: 21.5 });
    assert_eq!(peer.receives_data("cmd").await, json!({"n": 1}));
    conn.send(&Cmd { n: 2 }).await.unwrap();
    assert_eq!(peer.receives_data("cmd").await, json!({"n": 2}));
}

/// Row C5: a plain close has code 1000, and a send after it fails.
async fn sees_a_plain_close_as_1000(language: Language, end: End) {
    let Talk { mut peer, conn, .. } = Talk::open(language, end).await;
    conn.close();
    assert_eq!(peer.receives_close().await, (1000, String::new()));
    assert_eq!(parts(within(conn.closed()).await), (1000, String::new(), ClosedBy::Us));
    assert!(matches!(conn.send(&Cmd { n: 1 }).await, Err(SendError::Closed)));
}

/// Row C5: our close code and reason arrive, after the queued messages.
async fn sees_our_close_code_and_reason(language: Language, end: End) {
    let Talk { mut peer, conn, ours, .. } = Talk::open(language, end).await;
    conn.send(&Cmd { n: 1 }).await.unwrap();
    conn.close_with(CloseCode::from(4002), "stopping");
    assert_eq!(peer.receives_data("cmd").await, json!({"n": 1}));
    assert_eq!(peer.receives_close().await, (4002, "stopping".to_owned()));
    assert_eq!(parts(ours.closed.next().await), (4002, "stopping".to_owned(), ClosedBy::Us));
}

/// Row C5: the peer's close code and reason reach our `__close__` handler, and the peer receives
/// its code as the answer.
async fn sends_its_close_code_and_reason(language: Language, end: End) {
    let Talk { mut peer, conn, ours, .. } = Talk::open(language, end).await;
    peer.ask(json!({"op": "close", "code": 4001, "reason": "going"})).await;
    assert_eq!(parts(ours.closed.next().await), (4001, "going".to_owned(), ClosedBy::Peer));
    assert_eq!(peer.receives_close().await, (4001, "going".to_owned()));
    assert!(conn.is_closed());
}

/// Row E2: a text frame that is not JSON, and a binary frame, go to `__raw__` unchanged. The
/// connection stays open.
async fn sends_broken_and_binary_frames_into_raw(language: Language, end: End) {
    let mut talk = Talk::open(language, end).await;
    talk.peer.ask(json!({"op": "send_text", "text": "{\"type\": broken, 21 °C"})).await;
    assert_eq!(talk.ours.raw.next().await, RawFrame::Text(Cow::Borrowed("{\"type\": broken, 21 °C")));
    talk.peer.ask(json!({"op": "send_binary", "bytes": [0, 255, 123, 125]})).await;
    assert_eq!(talk.ours.raw.next().await, RawFrame::Binary(Cow::Borrowed(&[0, 255, 123, 125])));
    talk.still_works().await;
}

/// Row C1: text that is not an envelope, and binary data, arrive unchanged.
async fn gets_plain_text_and_binary_frames(language: Language, end: End) {
    let Talk { mut peer, conn, .. } = Talk::open(language, end).await;
    conn.send_bytes("21 °C").await.unwrap();
    assert_eq!(peer.receives("message").await["text"], "21 °C");
    conn.send_binary([0, 255, 123, 125]).await.unwrap();
    assert_eq!(peer.receives("binary").await["bytes"], json!([0, 255, 123, 125]));
}

/// Row E3: an envelope without a handler for its type is ignored and reported to the observer. The
/// connection stays open.
async fn is_ignored_where_its_type_has_no_handler(language: Language, end: End) {
    let mut talk = Talk::open(language, end).await;
    talk.peer.sends("weather", json!("fine")).await;
    assert_eq!(talk.memory.message_ignored().await.1, "weather");
    talk.still_works().await;
}

/// Row T6: a message over the limit of 2 MiB is rejected, and the peer receives the code although
/// it is still sending.
async fn is_rejected_with_1009_over_the_limit(language: Language, end: End) {
    let Talk { mut peer, ours, .. } = Talk::open(language, end).await;
    peer.sends("note", "x".repeat(3 << 20).into()).await;
    assert_eq!(peer.receives_close().await.0, 1009);
    let (code, _, by) = parts(ours.closed.next().await);
    assert_eq!((code, by), (1009, ClosedBy::Us));
}

/// Row B1: a ping is answered with a pong of the same payload, in both directions.
async fn answers_pings_and_gets_its_own_answered(language: Language, end: End) {
    let Talk { mut peer, conn, .. } = Talk::open(language, end).await;
    peer.ask(json!({"op": "ping", "text": "are you there"})).await;
    assert_eq!(peer.receives("pong").await["text"], "are you there");
    let pongs = Log::default();
    let seen = pongs.clone();
    conn.on_pong(move |payload| seen.add(payload.to_vec()));
    conn.ping(b"and you").await.unwrap();
    assert_eq!(pongs.next().await, b"and you");
}

/// Row V1: a message of 1 MiB, which is under the limit, arrives unchanged in both directions.
async fn exchanges_messages_of_a_mebibyte(language: Language, end: End) {
    let Talk { mut peer, .. } = Talk::open(language, end).await;
    let text: String = ('a'..='z').cycle().take(1 << 20).collect();
    peer.sends("note", text.clone().into()).await;
    assert!(peer.receives_data("noted").await == text, "a long message was changed on its way");
}

/// Row E1: a message in several frames is one message.
async fn sends_fragments_that_arrive_whole(language: Language, end: End) {
    let Talk { mut peer, ours, .. } = Talk::open(language, end).await;
    let parts = ["{\"type\":\"tele", "metry\",\"data\":{\"cel", "sius\":", "-4.0}}"];
    peer.ask(json!({"op": "send_fragments", "parts": parts})).await;
    assert_eq!(ours.telemetry.next().await, Telemetry { celsius: -4.0 });
}

/// Rows Q1, Q3: the peer asks, and receives the reply or why there is not one. Its ids come back as
/// they were. Python writes the keys after the data, Node before it.
async fn asks_and_gets_the_reply_or_the_failure(language: Language, end: End) {
    let Talk { mut peer, .. } = Talk::open(language, end).await;
    let longest = "x".repeat(128);
    for id in [json!(0), json!(-7), json!(9_007_199_254_740_991_i64), json!("box-7/ü \"1\""), json!(longest)] {
        peer.requests("add", json!({"a": 2, "b": 40}), json!({"id": id})).await;
        assert_eq!(peer.receives_reply().await, json!({"type": "sum", "re": id, "data": {"sum": 42}}));
    }
    for (message_type, data, code, message) in [
        ("weather", json!({}), "not_handled", "no handler takes this type"),
        ("fail", json!({}), "failed", "asked to fail"),
        ("telemetry", json!({"celsius": "warm"}), "bad_data", "celsius"),
        ("n", json!(1), "no_reply", "does not reply"),
    ] {
        peer.requests(message_type, data, json!({"id": "7"})).await;
        let reply = peer.receives_reply().await;
        assert_eq!([&reply["type"], &reply["re"], &reply["err"]["code"]], [message_type, "7", code]);
        assert!(reply["err"]["message"].as_str().unwrap().contains(message), "{reply}");
    }
}

/// Row Q1: a request that has waited for a handler until its deadline is not handled. The peer
/// receives that.
async fn gets_expired_for_a_request_that_waited(language: Language, end: End) {
    let Talk { mut peer, ours, .. } = Talk::open(language, end).await;
    peer.requests("hold", json!({}), json!({"id": 1})).await;
    peer.requests("add", json!({"a": 1, "b": 1}), json!({"id": 2, "ttl": 1})).await;
    // The request has arrived before the ping that is answered, and its time has passed after this.
    peer.ask(json!({"op": "ping", "text": "now"})).await;
    peer.receives("pong").await;
    sleep(Duration::from_millis(2)).await;
    ours.released.notify_one();
    let mut replies = [peer.receives_reply().await, peer.receives_reply().await];
    replies.sort_by_key(|reply| reply["re"].as_u64());
    assert_eq!(replies[0], json!({"type": "held", "re": 1, "data": {"n": 0}}));
    assert_eq!([&replies[1]["type"], &replies[1]["err"]["code"]], ["add", "expired"]);
}

/// Row Q4: both ends ask each other at once, and each handler asks back, to depth 3. Every request
/// gets its reply.
async fn asks_back_while_it_is_asked(language: Language, end: End) {
    const AT_ONCE: usize = 8;
    let Talk { mut peer, asker, .. } = Talk::open(language, end).await;
    let asking: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(asker.asks::<Asked>(&AskBack { depth: 3 }))).collect();
    let mut ids: Vec<_> = (0..AT_ONCE).map(|n| format!("north-{n}")).collect();
    for id in &ids {
        peer.requests("ask_back", json!({"depth": 3}), json!({"id": id})).await;
    }
    for _ in 0..AT_ONCE {
        let reply = peer.receives_reply().await;
        assert_eq!([&reply["type"], &reply["data"]], [&json!("asked"), &json!({"depth": 3})], "{reply}");
        ids.retain(|id| reply["re"] != **id);
    }
    assert!(ids.is_empty(), "without a reply: {ids:?}");
    for asked in asking {
        assert_eq!(within(asked).await.unwrap().unwrap(), Asked { depth: 3 });
    }
}

/// Rows Q1, Q3: we ask, and receive the peer's reply, or its failure with a code of its own.
async fn answers_or_fails_with_a_code_of_its_own(language: Language, end: End) {
    let Talk { peer: _peer, asker, .. } = Talk::open(language, end).await;
    assert_eq!(within(asker.asks::<Sum>(&Add { a: 2, b: 40 })).await.unwrap(), Sum { sum: 42 });
    match within(asker.asks::<Sum>(&Reboot { delay_s: 5 })).await {
        Err(RequestError::Other(error)) => {
            assert_eq!((&*error.code, &*error.message), ("in_use", "a film is playing"));
            let data: Value = serde_json::from_str(error.data.expect("the peer sends data").get()).unwrap();
            assert_eq!(data, json!({"until_s": 95}));
        }
        other => panic!("{other:?}"),
    }
    let unknown = within(asker.asks::<Sum>(&Cmd { n: 1 })).await;
    assert!(matches!(&unknown, Err(RequestError::NotHandled(text)) if text == "no handler takes this type"));
    let other_type = within(asker.asks::<Asked>(&Add { a: 2, b: 40 })).await;
    assert!(matches!(other_type, Err(RequestError::BadReply(_))), "{other_type:?}");
}

/// Rows Q1, Q3: either end may refuse a request, with the message that the protocol names.
async fn refuses_with_a_message_of_the_protocol(language: Language) {
    let server = Server::start(Hub::builder().endpoint(Station).build().unwrap()).await;
    let mut peer = Peer::connected(language, &server.url("box-7")).await;
    let refused = within(server.hub.request("box-7", &Reboot { delay_s: 5 })).await;
    assert!(matches!(&refused, Err(RequestError::Refused(InUse { until_s: 95 }))), "{refused:?}");
    peer.requests("reboot", json!({"delay_s": 5}), json!({"id": 1})).await;
    let reply = peer.receives_reply().await;
    assert_eq!([&reply["err"]["code"], &reply["err"]["data"]], [&json!("in_use"), &json!({"until_s": 95})]);
}

/// Row Q3: the peer may reply in another order. A reply goes to its own request.
async fn replies_in_another_order(language: Language, end: End) {
    let Talk { mut peer, asker, .. } = Talk::open(language, end).await;
    let mut first = pin!(asker.asks::<Held>(&Hold { n: 1 }));
    let second = asker.asks::<Held>(&Hold { n: 2 });
    peer.ask(json!({"op": "release", "n": 2})).await;
    // In this order, so that both are sent.
    tokio::select! {
        biased;
        held = &mut first => panic!("{held:?}"),
        held = within(second) => assert_eq!(held.unwrap(), Held { n: 2 }),
    }
    peer.ask(json!({"op": "release", "n": 1})).await;
    assert_eq!(within(first).await.unwrap(), Held { n: 1 });
}

/// Rows Q1, Q3: without a reply, a request ends at its deadline. The late reply is counted and
/// reported, and goes to no other request. The peer learns that nobody waits for a request.
async fn replies_too_late(language: Language, end: End) {
    let Talk { mut peer, asker, mut memory, .. } = Talk::open(language, end).await;
    let result = within(asker.asks::<Held>(&Hold { n: 1 }).timeout(Duration::from_millis(20))).await;
    assert!(matches!(result, Err(RequestError::TimedOut)), "{result:?}");
    peer.ask(json!({"op": "release", "n": 1})).await;
    assert_eq!(memory.reply_unexpected().await.1, "held");
    let dropped = asker.asks::<Held>(&Hold { n: 2 });
    tokio::select! {
        biased;
        held = dropped => panic!("{held:?}"),
        sum = within(asker.asks::<Sum>(&Add { a: 2, b: 40 })) => assert_eq!(sum.unwrap(), Sum { sum: 42 }),
    }
    let cancel = peer.receives("message").await;
    let cancel: Value = serde_json::from_str(cancel["text"].as_str().unwrap()).unwrap();
    assert_eq!([&cancel["type"], &cancel["err"]], [&json!("cancel"), &json!({"code": "cancelled"})]);
    assert!(cancel["id"].is_u64() && cancel["re"].is_null(), "{cancel}");
}

/// Rows S2, S3, T2: `send_to` reaches one client, and a broadcast reaches all of them once.
async fn gets_what_is_for_it_alone_and_what_is_for_all(language: Language) {
    let server = Server::start(language.hub(Ours::default()).build().unwrap()).await;
    let mut one = Peer::connected(language, &server.url("one")).await;
    let mut other = Peer::connected(language, &server.url("other")).await;
    server.hub.send_to("one", &Cmd { n: 1 }).await.unwrap();
    assert_eq!(server.hub.broadcast(&Cmd { n: 2 }).await.unwrap(), 2);
    server.hub.send_to("other", &Cmd { n: 3 }).await.unwrap();
    for (peer, expected) in [(&mut one, [1, 2]), (&mut other, [2, 3])] {
        for n in expected {
            assert_eq!(peer.receives_data("cmd").await, json!({"n": n}));
        }
    }
}

/// Row X2: the application rejects a handshake, and the client receives the status.
async fn is_rejected_with_the_status_of_build_id(language: Language) {
    let hub = Hub::builder().endpoint(Ours::default()).build().unwrap();
    let reject_all = |_| async { Err::<String, _>(Rejection::new(StatusCode::UNAUTHORIZED, "no token")) };
    let upgrade = hub.ws_handler(reject_all, |_| {});
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let mut peer = Peer::start(language, End::Client);
    peer.ask(json!({"op": "connect", "url": server.url("box-7")})).await;
    assert_eq!(peer.receives("rejected").await["status"], 401);
}

/// Rows K3, X4: a server that rejects the handshake is an error with its status.
async fn rejects_the_handshake_with_its_status(language: Language) {
    let (_peer, url) = Peer::listening(language, ANY_PORT, json!({"reject": 403})).await;
    let client = Client::builder(url).endpoint(Ours::default()).reconnect(false).build().unwrap();
    let result = within(client.connect(CancellationToken::new(), |_| {})).await;
    assert!(matches!(&result, Err(ConnectError::Rejected { status, .. }) if *status == 403), "{result:?}");
}

/// Row K1: a message in the same segment as the answer to the handshake is not lost.
async fn may_send_a_message_with_its_handshake(language: Language) {
    let greeting = json!({"type": "telemetry", "data": {"celsius": 1.0}}).to_string();
    let (mut peer, url) = Peer::listening(language, ANY_PORT, json!({"greeting": greeting})).await;
    let ours = Ours::default();
    connect(language.client(&url, ours.clone()).reconnect(false)).await;
    peer.opens(language.compresses()).await;
    assert_eq!(ours.telemetry.next().await, Telemetry { celsius: 1.0 });
    assert_eq!(peer.receives_data("cmd").await, json!({"n": 1}));
}

/// Rows K2, K4, T5: the server's process is killed and started again. The client reconnects and
/// sends, and its handlers work as before.
async fn is_found_again_after_it_was_killed(language: Language) {
    // An address of its own, so that no other test gets the port while it is free.
    let host = match language {
        Language::Python => "127.0.0.2",
        Language::Node => "127.0.0.3",
        Language::CompressingPython => "127.0.0.4",
        Language::CompressingNode => "127.0.0.5",
    };
    let (mut peer, url) = Peer::listening(language, (host, 0), json!({})).await;
    let port = url.parse::<Uri>().unwrap().port_u16().expect("the URL has a port");
    let ours = Ours::default();
    let backoff = Backoff::default().initial(Duration::from_millis(20)).max(Duration::from_millis(100));
    let client = connect(language.client(&url, ours.clone()).backoff(backoff)).await;
    peer.opens(language.compresses()).await;
    peer.kill().await;
    assert_eq!(parts(ours.closed.next().await).2, ClosedBy::Link);

    let (mut peer, same_url) = Peer::listening(language, (host, port), json!({})).await;
    assert_eq!(same_url, url);
    peer.opens(language.compresses()).await;
    within(client.connected()).await.unwrap();
    client.send(&Telemetry { celsius: 5.0 }).await.unwrap();
    assert_eq!(peer.receives_data("telemetry").await, json!({"celsius": 5.0}));
    peer.sends("telemetry", json!({"celsius": 6.0})).await;
    assert_eq!(ours.telemetry.next().await, Telemetry { celsius: 6.0 });
    assert_eq!(peer.receives_data("cmd").await, json!({"n": 1}));
    client.close();
    assert_eq!(peer.receives_close().await, (1000, String::new()));
}

/// Row R7: over a link with delay that delivers single bytes, nothing is lost, duplicated or
/// reordered, in both directions at once.
async fn keeps_its_numbers_over_a_weak_link(language: Language, end: End) {
    const MESSAGES: u64 = 300;
    let delay = Duration::from_millis(50)..Duration::from_millis(200);
    let weakness = Weakness { delay, byte_by_byte: true, ..Weakness::default() };
    let Talk { mut peer, conn, ours, _link, .. } = Talk::open_over(Some(weakness), language, end).await;
    let theirs = Arrivals::default();
    send_all(0..MESSAGES, |message| conn.send(&message)).await;
    for number in 0..MESSAGES {
        peer.sends("n", number.into()).await;
    }
    for _ in 0..MESSAGES {
        theirs.add(0, peer.receives_data("n").await.as_u64().expect("a number"));
    }
    // A missing message is reported by the verdict, in more detail.
    let _ = ours.numbers.wait_for(300).await;
    for verdict in [ours.numbers.verdict(MESSAGES), theirs.verdict(MESSAGES)] {
        assert!(verdict.is_perfect(), "{verdict}");
    }
}

/// Makes a test for each promise, which calls it with these arguments.
macro_rules! keep {
    ($with:tt: $($promise:ident)+) => {
        $(#[tokio::test]
        async fn $promise() {
            super::$promise $with.await;
        })+
    };
}

/// The promises to one peer: those to every peer, and those to this end.
macro_rules! peer {
    ($module:ident, $language:ident, $end:ident: $($promise:ident)+) => {
        mod $module {
            use super::{End, Language};
            keep! { (Language::$language, End::$end):
                sends_telemetry_and_gets_commands
                sees_a_plain_close_as_1000
                sees_our_close_code_and_reason
                sends_its_close_code_and_reason
                sends_broken_and_binary_frames_into_raw
                gets_plain_text_and_binary_frames
                is_ignored_where_its_type_has_no_handler
                is_rejected_with_1009_over_the_limit
                answers_pings_and_gets_its_own_answered
                exchanges_messages_of_a_mebibyte
                sends_fragments_that_arrive_whole
                keeps_its_numbers_over_a_weak_link
                asks_and_gets_the_reply_or_the_failure
                gets_expired_for_a_request_that_waited
                asks_back_while_it_is_asked
                answers_or_fails_with_a_code_of_its_own
                replies_in_another_order
                replies_too_late
            }
            keep! { (Language::$language): $($promise)+ }
        }
    };
}

peer! { python_client, Python, Client:
    gets_what_is_for_it_alone_and_what_is_for_all
    is_rejected_with_the_status_of_build_id
    refuses_with_a_message_of_the_protocol
}
peer! { node_client, Node, Client:
    gets_what_is_for_it_alone_and_what_is_for_all
    is_rejected_with_the_status_of_build_id
    refuses_with_a_message_of_the_protocol
}
peer! { python_server, Python, Server:
    rejects_the_handshake_with_its_status
    may_send_a_message_with_its_handshake
    is_found_again_after_it_was_killed
}
peer! { node_server, Node, Server:
    rejects_the_handshake_with_its_status
    may_send_a_message_with_its_handshake
    is_found_again_after_it_was_killed
}
peer! { compressing_python_client, CompressingPython, Client: gets_what_is_for_it_alone_and_what_is_for_all }
peer! { compressing_node_client, CompressingNode, Client: gets_what_is_for_it_alone_and_what_is_for_all }
peer! { compressing_python_server, CompressingPython, Server:
    may_send_a_message_with_its_handshake
    is_found_again_after_it_was_killed
}
peer! { compressing_node_server, CompressingNode, Server:
    may_send_a_message_with_its_handshake
    is_found_again_after_it_was_killed
}
