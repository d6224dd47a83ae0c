//! The bus through a real NATS server.
use super::{Nats, Running, start};
use crate::cluster::{
    bus::{AskError, Bus, Event, NodeId, NotPublished},
    events::Events,
};
use bytes::Bytes;
use server::NatsServer;
use std::{path::Path, process::Command, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// A NATS server. The tests of clusters have it too.
#[expect(unreachable_pub, reason = "the package of those tests exports it")]
#[path = "../../../../tests/cluster/nats_server.rs"]
mod server;

/// Against a test that hangs.
const DEADLINE: Duration = Duration::from_secs(10);

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

struct Node {
    bus: Arc<dyn Bus>,
    events: Events,
    running: Running,
}

impl Node {
    fn start(options: Nats, id: NodeId) -> Self {
        let (bus, events, running) = start(options, id);
        Self { bus, events, running }
    }

    fn at(server: &NatsServer, id: NodeId) -> Self {
        Self::start(Nats::connect(server.url()).unwrap(), id)
    }

    /// Starts a node, and waits until it is up.
    async fn up(server: &NatsServer, id: NodeId) -> Self {
        let mut node = Self::at(server, id);
        node.until_up().await;
        node
    }

    async fn next(&mut self) -> Event {
        timeout(DEADLINE, self.events.next()).await.expect("an event comes in time").expect("the bus runs")
    }

    async fn until_up(&mut self) {
        while !matches!(self.next().await, Event::Up) {}
        assert!(self.bus.up_since().is_some());
    }

    async fn until_down(&mut self) -> String {
        loop {
            if let Event::Down(reason) = self.next().await {
                assert_eq!(self.bus.up_since(), None);
                return reason;
            }
        }
    }

    async fn shown(&mut self) -> String {
        format!("{:?}", self.next().await)
    }
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Publishes when there is room.
async fn publish(bus: &dyn Bus, payload: Bytes) {
    while bus.publish(payload.clone()) == Err(NotPublished::Full) {
        bus.room().await;
    }
}

/// Makes a certificate for the address of a server, and returns it and its key in PEM.
fn certificate(server: &NatsServer) -> [String; 2] {
    let files = ["own.pem", "own.key"].map(|name| server.folder().join(name));
    let name = format!("subjectAltName=IP:{}", server.address().ip());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=nats", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-addext", &name, "-addext", "basicConstraints=CA:FALSE"])
        .args([Path::new("-out"), &files[0], Path::new("-keyout"), &files[1]])
        .output()
        .expect("openssl is missing: run ./tests/scripts/install.sh");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    files.map(|file| std::fs::read_to_string(file).unwrap())
}

/// Row J2: packets reach all nodes or one and questions are answered.
#[tokio::test]
async fn packets_reach_all_nodes_or_one_and_questions_are_answered() {
    let server = NatsServer::start();
    let (mut one, mut two) = (Node::up(&server, ONE).await, Node::up(&server, TWO).await);
    one.bus.publish(bytes("to all")).unwrap();
    one.bus.tell(TWO, bytes("to two"));
    assert_eq!(one.shown().await, r#"Published(b"to all")"#);
    let mut heard = [two.shown().await, two.shown().await];
    heard.sort();
    assert_eq!(heard, [r#"Published(b"to all")"#, r#"Told(b"to two")"#]);
    let (answer, ()) = tokio::join!(one.bus.ask(TWO, bytes("question"), DEADLINE), async {
        let Event::Asked(question, answerer) = two.next().await else { panic!("it is asked") };
        assert_eq!(question, bytes("question"));
        answerer.answer(bytes("answer"));
    });
    assert_eq!(answer, Ok(bytes("answer")));
}

/// Row J10: a node that nobody knows is noticed at once.
#[tokio::test]
async fn a_node_that_nobody_knows_is_noticed_at_once() {
    let server = NatsServer::start();
    let one = Node::up(&server, ONE).await;
    assert_eq!(one.bus.ask(TWO, bytes("?"), DEADLINE * 2).await, Err(AskError::NoSuchNode));
    let two = Node::up(&server, TWO).await;
    assert_eq!(one.bus.ask(TWO, bytes("?"), Duration::from_millis(50)).await, Err(AskError::TimedOut));
    drop(two);
    timeout(DEADLINE, async {
        while one.bus.ask(TWO, bytes("?"), Duration::from_millis(50)).await != Err(AskError::NoSuchNode) {}
    })
    .await
    .unwrap();
}

/// Row J1: nodes of different namespaces do not see each other.
#[tokio::test]
async fn nodes_of_different_namespaces_do_not_see_each_other() {
    let server = NatsServer::start();
    let mut one = Node::up(&server, ONE).await;
    let mut two = Node::start(Nats::connect(server.url()).unwrap().namespace("other").unwrap(), TWO);
    two.until_up().await;
    two.bus.publish(bytes("of another")).unwrap();
    assert_eq!(two.shown().await, r#"Published(b"of another")"#);
    assert_eq!(two.bus.ask(ONE, bytes("?"), DEADLINE).await, Err(AskError::NoSuchNode));
    one.bus.publish(bytes("own")).unwrap();
    assert_eq!(one.shown().await, r#"Published(b"own")"#);
}

/// Row J1: a node comes up when nats does.
#[tokio::test]
async fn a_node_comes_up_when_nats_does() {
    let mut server = NatsServer::stopped();
    let mut node = Node::at(&server, ONE);
    assert_eq!(node.bus.publish(bytes("a")), Err(NotPublished::Down));
    assert_eq!(node.bus.ask(TWO, bytes("?"), DEADLINE).await, Err(AskError::Down));
    assert_eq!(node.bus.max_payload(), 1 << 20);
    let reason = node.until_down().await;
    assert!(reason.contains("Connection refused") && reason.ends_with("check that NATS runs there"), "{reason}");
    server.restart_with("max_payload: 4096");
    let start = Instant::now();
    node.until_up().await;
    println!("up {:?} after the start of NATS", start.elapsed());
    assert_eq!(node.bus.max_payload(), 4096);
}

/// Row J8: a node goes down with nats and comes back with it.
#[tokio::test]
async fn a_node_goes_down_with_nats_and_comes_back_with_it() {
    let mut server = NatsServer::start();
    let (mut one, mut two) = (Node::up(&server, ONE).await, Node::up(&server, TWO).await);
    for _ in 0..3 {
        let start = Instant::now();
        server.kill();
        let reason = one.until_down().await;
        println!("down {:?} after the kill: {reason}", start.elapsed());
        assert!(reason.contains("was lost") || reason.contains("refused"), "{reason}");
        two.until_down().await;
        assert_eq!(one.bus.publish(bytes("a")), Err(NotPublished::Down));
        server.restart();
        let start = Instant::now();
        one.until_up().await;
        two.until_up().await;
        println!("up {:?} after the restart", start.elapsed());
        one.bus.publish(bytes("again")).unwrap();
        assert_eq!(two.shown().await, r#"Published(b"again")"#);
        assert_eq!(one.shown().await, r#"Published(b"again")"#);
    }
}

/// Row J8: a server that is stopped is noticed and nothing blocks or grows meanwhile.
#[tokio::test]
async fn a_server_that_is_stopped_is_noticed_and_nothing_blocks_or_grows_meanwhile() {
    let server = NatsServer::start();
    let mut node = Node::up(&server, ONE).await;
    node.bus.publish(bytes("before")).unwrap();
    assert_eq!(node.shown().await, r#"Published(b"before")"#);
    server.stop();
    let start = Instant::now();
    let payload = Bytes::from(vec![0; 1 << 16]);
    let asked = node.bus.ask(TWO, bytes("?"), DEADLINE * 2);
    let (mut published, mut full) = (0_u32, 0_u32);
    let flood = async {
        loop {
            match node.bus.publish(payload.clone()) {
                Ok(()) => published += 1,
                Err(NotPublished::Full) => full += 1,
                Err(NotPublished::Down) => return,
            }
            sleep(Duration::from_micros(200)).await;
        }
    };
    let (answer, ()) = timeout(DEADLINE, async { tokio::join!(asked, flood) }).await.unwrap();
    println!("noticed after {:?}; {published} packets of 64 KiB were taken, {full} were not", start.elapsed());
    assert_eq!(answer, Err(AskError::TimedOut), "it was written, and nobody knows");
    // The queue has 16 MiB, a batch 256 KiB, and the kernel some megabytes.
    assert!(full > 0 && published < 16 * 64, "{published}");
    let reason = node.until_down().await;
    assert!(reason.ends_with("does not answer any more"), "{reason}");
    server.cont();
    let start = Instant::now();
    node.until_up().await;
    println!("up {:?} after it went on", start.elapsed());
}

/// Row J6: a burst arrives complete and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_arrives_complete_and_in_order() {
    const PACKETS: u64 = 300_000;
    let server = NatsServer::start();
    let (one, mut two) = (Node::up(&server, ONE).await, Node::up(&server, TWO).await);
    let start = Instant::now();
    let bus = Arc::clone(&one.bus);
    // Node one reads too, because it receives what it publishes.
    let mut own = one.events;
    let reading = tokio::spawn(async move { while own.next().await.is_some() {} });
    let sending = tokio::spawn(async move {
        for number in 0..PACKETS {
            let mut payload = vec![0; 64];
            payload[..8].copy_from_slice(&number.to_be_bytes());
            publish(&*bus, payload.into()).await;
        }
        bus.flushed().await;
    });
    for number in 0..PACKETS {
        let Event::Published(payload) = two.next().await else { panic!("it is published") };
        assert_eq!(payload[..8], number.to_be_bytes());
    }
    let rate = PACKETS as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} packets of 64 bytes in a second");
    sending.await.unwrap();
    assert_eq!((one.bus.lost(), two.bus.lost()), (0, 0));
    drop((one.running, one.bus));
    timeout(DEADLINE, reading).await.unwrap().unwrap();
}

/// Row J7: a node that does not read loses packets that are counted and stays up.
#[tokio::test]
async fn a_node_that_does_not_read_loses_packets_that_are_counted_and_stays_up() {
    let server = NatsServer::start();
    let (mut one, two) = (Node::up(&server, ONE).await, Node::up(&server, TWO).await);
    let reading = async {
        for _ in 0..60_000 {
            assert!(matches!(one.events.next().await, Some(Event::Published(_))));
        }
    };
    let bus = Arc::clone(&one.bus);
    let sending = async {
        for _ in 0..60_000 {
            publish(&*bus, bytes("a")).await;
        }
    };
    timeout(DEADLINE, async { tokio::join!(reading, sending) }).await.unwrap();
    timeout(DEADLINE, async {
        while two.bus.lost() < 60_000 - 32_768 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(two.bus.lost(), 60_000 - 32_768);
    assert!(two.bus.up_since().is_some());
}

/// Row J11: the longest packets arrive and longer ones do not break the connection.
#[tokio::test]
async fn the_longest_packets_arrive_and_longer_ones_do_not_break_the_connection() {
    let server = NatsServer::start_with("max_payload: 4096");
    let (mut one, mut two) = (Node::up(&server, ONE).await, Node::up(&server, TWO).await);
    let long = |len| Bytes::from(vec![7; len]);
    one.bus.publish(long(4097)).unwrap();
    one.bus.tell(TWO, long(4097));
    let answer = timeout(DEADLINE, one.bus.ask(TWO, long(4097), DEADLINE * 2)).await;
    assert_eq!(answer.expect("it fails at once"), Err(AskError::TimedOut));
    one.bus.publish(long(4096)).unwrap();
    for node in [&mut one, &mut two] {
        assert!(matches!(node.next().await, Event::Published(payload) if payload.len() == 4096));
    }
    let (answer, ()) = tokio::join!(one.bus.ask(TWO, long(4096), DEADLINE), async {
        let Event::Asked(_, answerer) = two.next().await else { panic!("it is asked") };
        answerer.answer(long(4096));
    });
    assert_eq!(answer.unwrap().len(), 4096);
}

/// Row J12: a user and a password open the server and wrong ones say what to do.
#[tokio::test]
async fn a_user_and_a_password_open_the_server_and_wrong_ones_say_what_to_do() {
    let mut server = NatsServer::start_with(&NatsServer::with_user("hub", "s3cret"));
    let right = Nats::connect(format!("nats://hub:s3cret@{}", server.address())).unwrap();
    let wrong = Nats::connect(server.url()).unwrap().user_and_password("hub", "hunter2");
    let (mut one, mut two) = (Node::start(right, ONE), Node::start(wrong, TWO));
    one.until_up().await;
    let reason = two.until_down().await;
    let advice = "rejected the login of this hub: check its user and password, token, nkey or credentials";
    assert!(reason.ends_with(advice) && !reason.contains("hunter2"), "{reason}");
    // The password is changed, and the nodes with the new one come in by themselves.
    server.restart_with(&NatsServer::with_user("hub", "hunter2"));
    two.until_up().await;
    while one.until_down().await.contains("lost") {}
}

/// Row J12: a user without the permission is told which one.
#[tokio::test]
async fn a_user_without_the_permission_is_told_which_one() {
    let config = r#"authorization { users = [
        { user: "hub", password: "p", permissions { subscribe: ["wsx.node.>", "wsx.reply.>"] } }
    ] }"#;
    let server = NatsServer::start_with(config);
    let mut node = Node::start(Nats::connect(format!("nats://hub:p@{}", server.address())).unwrap(), ONE);
    let reason = node.until_down().await;
    assert!(reason.contains("Permissions Violation for Subscription to \\\"wsx.all\\\""), "{reason}");
    assert!(reason.ends_with(r#"allow the user of this hub to publish and to subscribe to "wsx.>""#), "{reason}");
}

/// Row J12: a connection is encrypted if its certificate is trusted.
#[tokio::test]
async fn a_connection_is_encrypted_if_its_certificate_is_trusted() {
    let mut server = NatsServer::stopped();
    let [own, key] = certificate(&server);
    let tls = server.with_tls(&own, &key);
    server.restart_with(&tls);
    let trusted = server.folder().join("own.pem");
    let options = Nats::connect(format!("tls://{}", server.address())).unwrap();
    let mut one = Node::start(options.clone().root_certificates(trusted).unwrap(), ONE);
    one.until_up().await;
    one.bus.publish(bytes("a")).unwrap();
    assert_eq!(one.shown().await, r#"Published(b"a")"#);
    let mut two = Node::start(options, TWO);
    let reason = two.until_down().await;
    assert!(reason.contains("certificate"), "{reason}");
    assert!(reason.contains("check "), "{reason}");
}

/// Row J10: the end of a node ends its tasks and those of its connection.
#[tokio::test]
async fn the_end_of_a_node_ends_its_tasks_and_those_of_its_connection() {
    enum Nats {
        Runs,
        IsStopped,
        IsGone,
    }
    let mut server = NatsServer::start();
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    for nats in [Nats::Runs, Nats::IsStopped, Nats::IsGone] {
        let mut node = Node::up(&server, ONE).await;
        match nats {
            Nats::Runs => {}
            Nats::IsStopped => server.stop(),
            Nats::IsGone => {
                server.kill();
                node.until_down().await;
            }
        }
        // Nothing is said if it is down.
        let _ = node.bus.publish(bytes("a"));
        let Node { running, mut events, bus } = node;
        drop(running);
        timeout(DEADLINE, async { while events.next().await.is_some() {} }).await.unwrap();
        assert_eq!(bus.up_since(), None);
        timeout(DEADLINE, async {
            while alive() > before {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("no task of async-nats is left");
        server.restart();
    }
}

#[tokio::test]
async fn what_is_sent_to_a_node_that_is_up_arrives() {
    let server = NatsServer::start();
    let one = Node::up(&server, ONE).await;
    for id in 100..150 {
        let mut node = Node::up(&server, NodeId(id)).await;
        let (answer, ()) = tokio::join!(one.bus.ask(NodeId(id), bytes("?"), DEADLINE), async {
            let Event::Asked(_, answerer) = node.next().await else { panic!("it is asked") };
            answerer.answer(bytes("!"));
        });
        assert_eq!(answer, Ok(bytes("!")));
    }
}

/// Row J10: what is flushed is at the server when the node ends.
#[tokio::test]
async fn what_is_flushed_is_at_the_server_when_the_node_ends() {
    let server = NatsServer::start();
    let (one, mut two) = (Node::up(&server, ONE).await, Node::up(&server, TWO).await);
    for _ in 0..2000 {
        publish(&*one.bus, bytes("a")).await;
    }
    one.bus.tell(TWO, bytes("bye"));
    timeout(DEADLINE, one.bus.flushed()).await.unwrap();
    drop(one);
    for _ in 0..2001 {
        two.next().await;
    }
}
