//! Counts the memory that a hub has for boxes without waiting messages: row G28 of the
//! specification.
use allocation_counter::measure;
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, time::Duration};
use tokio::{runtime::Runtime, time::sleep};
use wsx::{CancellationToken, Client, Hub, Rejection, delivery::Mailbox, http::request::Parts};

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Cmd {
    restart: bool,
}

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "1ms")]
struct Brief {
    restart: bool,
}

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest)]
struct Level {
    percent: u8,
}

/// Boxes of a round, each with an id of its own.
const BOXES: usize = 8;
/// Rounds that are measured. The runtime itself may allocate now and then.
const ROUNDS: usize = 16;
/// Less memory than the smallest entry of a table.
const NOTHING: i64 = 16;

/// A hub that listens, in a runtime of this thread.
struct Station {
    runtime: Runtime,
    hub: Hub,
    address: String,
    /// The ids of the next boxes.
    next: RefCell<std::ops::RangeFrom<u32>>,
}

impl Station {
    fn start(mailbox: Option<Mailbox>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let builder = Hub::builder().without_handlers();
        let builder = match mailbox {
            Some(mailbox) => builder.mailbox(mailbox),
            None => builder,
        };
        let hub = builder.build().unwrap();
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let id = |request: Parts| async move { Ok::<_, Rejection>(request.uri.query().unwrap().to_owned()) };
            tokio::spawn(hub.ws_handler(id, |_| {}).serve(listener));
            address
        });
        Self { runtime, hub, address, next: RefCell::new(10_000..) }
    }

    /// Connects a box. It handles both types.
    async fn connect(&self, id: &str) -> Client {
        Client::builder(format!("ws://{}/?{id}", self.address))
            .on("cmd", |_: Cmd, _| async {})
            .on("level", |_: Level, _| async {})
            .build()
            .unwrap()
            .start(CancellationToken::new())
            .await
            .unwrap()
    }

    /// Boxes come and go. With `is_sending`, messages wait for each box before, and it handles
    /// them.
    fn round(&self, is_sending: bool) {
        self.runtime.block_on(async {
            let mut clients = Vec::new();
            for _ in 0..BOXES {
                let id = self.next.borrow_mut().next().unwrap().to_string();
                if is_sending {
                    for _ in 0..4 {
                        self.hub.send_to(&id, &Cmd { restart: true }).await.unwrap();
                        self.hub.send_to(&id, &Level { percent: 7 }).await.unwrap();
                    }
                }
                clients.push((self.connect(&id).await, id));
            }
            for (_, id) in &clients {
                while !self.hub.waiting(id).is_empty() {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            for (client, _) in clients {
                client.close();
            }
            while !self.hub.is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        });
    }

    /// Waits for the tasks of the clients, and for their last delayed acknowledgements.
    fn rest(&self) {
        self.runtime.block_on(async { sleep(Duration::from_millis(500)).await });
    }

    /// Returns the bytes that one box leaves behind: the hub remembers who was there.
    fn left_by_a_box(&self, is_sending: bool) -> i64 {
        let rounds = || {
            (0..ROUNDS).for_each(|_| self.round(is_sending));
            self.rest();
        };
        // The first rounds fill the tables of the hub.
        rounds();
        measure(rounds).bytes_current / i64::try_from(BOXES * ROUNDS).unwrap()
    }

    /// Returns the bytes of one connected box, at both ends, after it has handled these messages.
    fn bytes_of_a_box(&self, messages: usize) -> i64 {
        const CONNECTED: usize = 64;
        let connect = || {
            self.runtime.block_on(async {
                let mut clients = Vec::with_capacity(CONNECTED);
                for _ in 0..CONNECTED {
                    let id = self.next.borrow_mut().next().unwrap().to_string();
                    clients.push(self.connect(&id).await);
                }
                while self.hub.len() < CONNECTED {
                    sleep(Duration::from_millis(1)).await;
                }
                for id in self.hub.ids() {
                    for _ in 0..messages {
                        self.hub.send_to(&id, &Cmd { restart: true }).await.unwrap();
                        self.hub.send_to(&id, &Level { percent: 7 }).await.unwrap();
                    }
                    while !self.hub.waiting(&id).is_empty() {
                        sleep(Duration::from_millis(1)).await;
                    }
                }
                sleep(Duration::from_millis(500)).await;
                clients
            })
        };
        let close = |clients: Vec<Client>| {
            clients.iter().for_each(Client::close);
            self.runtime.block_on(async {
                while !self.hub.is_empty() {
                    sleep(Duration::from_millis(1)).await;
                }
            });
            self.rest();
        };
        close(connect());
        let mut clients = Vec::new();
        let counted = measure(|| clients = connect());
        close(clients);
        counted.bytes_current / i64::try_from(CONNECTED).unwrap()
    }
}

/// Row G28: a box for which nothing waits takes no memory of the mailbox.
#[test]
fn a_mailbox_costs_nothing_for_a_box_without_messages() {
    let (without, with) = (Station::start(None), Station::start(Some(Mailbox::new())));
    let (without, with) = (without.bytes_of_a_box(0), with.bytes_of_a_box(0));
    assert!(without > 1000, "a connection has {without} bytes: the test has lost its point");
    assert!((with - without).abs() < NOTHING, "a connection has {without} bytes, and {with} with a mailbox");
}

/// Row G28: what a box has handled leaves nothing behind when it has gone.
#[test]
fn handled_messages_leave_nothing_behind() {
    let [plain, kept] = [false, true].map(|is_sending| Station::start(Some(Mailbox::new())).left_by_a_box(is_sending));
    assert!(kept - plain < NOTHING, "a box leaves {plain} bytes, and {kept} with handled messages");
}

/// Row G28: absent boxes whose messages have expired or were dropped leave gaps. A bounded number
/// of them is remembered.
#[test]
fn absent_boxes_leave_a_bounded_number_of_gaps() {
    const REMEMBERED: usize = 10_000;
    let station = Station::start(Some(Mailbox::new()));
    let absent = |boxes: usize| {
        let ids: Vec<String> = (0..boxes).map(|_| station.next.borrow_mut().next().unwrap().to_string()).collect();
        station.runtime.block_on(async {
            for id in &ids {
                station.hub.send_to(id, &Brief { restart: true }).await.unwrap();
            }
            sleep(Duration::from_millis(2)).await;
            for (n, id) in ids.iter().enumerate() {
                let expired = station.hub.waiting(id).is_empty();
                assert!(expired && station.hub.drop_waiting(id) == 0, "a message waits");
                if n % 2 == 0 {
                    station.hub.send_to(id, &Cmd { restart: true }).await.unwrap();
                    assert_eq!(station.hub.drop_waiting(id), 1);
                }
            }
        });
    };
    let bytes = || measure(|| absent(REMEMBERED)).bytes_current / i64::try_from(REMEMBERED).unwrap();
    let first = bytes();
    assert!(first > 100, "a gap has {first} bytes: the test has lost its point");
    // The next round grows the tables: its messages wait beside the gaps.
    bytes();
    let later = bytes();
    println!("a gap takes {first} bytes, and a later one {later} more");
    assert!(later < NOTHING, "a box leaves {later} bytes");
}

/// Row G28: a connected box that has handled messages takes the memory of what is known of it.
#[test]
fn handled_messages_leave_little_to_a_connected_box() {
    // Both ends know the connection and its numbers. A map for messages would have as much again.
    const KNOWN: i64 = 6000;
    let [plain, kept] = [0, 20].map(|messages| Station::start(Some(Mailbox::new())).bytes_of_a_box(messages));
    assert!(kept - plain < KNOWN, "a connected box has {plain} bytes, and {kept} after messages");
}
