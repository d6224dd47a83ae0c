//! Boxes of the campaign: each with a list of all nodes, and with its outbox on the disk.
use crate::{
    messages::{Answer, Question, Reading, Told},
    notes::Notes,
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, stdin},
    time::{MissedTickBehavior, interval, sleep},
};
use wsx::{
    Backoff, CancellationToken, Client, ClientState, Config, Connection,
    delivery::{Disk, Outbox},
};
use wsx_cluster_tests::Failure;

/// How often a box sends a message that counts.
const PERIOD: Duration = Duration::from_millis(500);

/// What a program with boxes is given.
pub(crate) struct Options<'o> {
    pub(crate) urls: &'o str,
    pub(crate) from: usize,
    pub(crate) count: usize,
    pub(crate) notes: &'o Path,
    /// Where the outboxes are. Without it, they are in memory.
    pub(crate) outboxes: Option<&'o Path>,
    /// The number of this process.
    pub(crate) start: u64,
}

/// Connects, and does what its input says until that ends.
pub(crate) async fn run(options: Options<'_>) -> Result<(), Failure> {
    let notes = Notes::create(options.notes)?;
    let is_on = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for number in options.from..options.from + options.count {
        let mut urls: Vec<String> = options.urls.split(',').map(|url| format!("{url}?box-{number}")).collect();
        // Each node is the first of some boxes, and another one after a restart.
        let first = (number + usize::try_from(options.start)?) % urls.len();
        urls.rotate_left(first);
        let outbox = match options.outboxes {
            Some(folder) => Outbox::new().store(Disk::open(folder.join(format!("box-{number}")))?),
            None => Outbox::new(),
        };
        let (of_told, of_question) = (notes.clone(), notes.clone());
        let backoff = Backoff::default().initial(Duration::from_millis(100)).max(Duration::from_secs(1));
        let client = Client::builder(urls)
            .config(
                Config::edge()
                    .heartbeat(Duration::from_secs(1), Duration::from_secs(1))
                    .handshake_timeout(Duration::from_secs(2)),
            )
            .backoff(backoff.stable_after(Duration::from_secs(1)))
            .outbox(outbox)
            .on("told", move |told: Told, _: Connection| {
                of_told.add(&format!("got {} {number}", told.key));
                async {}
            })
            .on("tick", |_: crate::messages::Tick, _: Connection| async {})
            .on("question", move |question: Question, _: Connection| {
                of_question.add(&format!("got {} {number}", question.key));
                async move {
                    sleep(Duration::from_millis(question.wait)).await;
                    Answer { key: question.key }
                }
            })
            .build()?;
        let starting = client.clone();
        tokio::spawn(async move { starting.start(CancellationToken::new()).await.map(drop) });
        tokio::spawn(read(client.clone(), number, options.start, is_on.clone(), notes.clone()));
        clients.push(client);
    }
    println!("ready");
    let mut lines = tokio::io::BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.as_str() {
            "load on" => is_on.store(true, Relaxed),
            "load off" => is_on.store(false, Relaxed),
            "status" => {
                let connected =
                    clients.iter().filter(|client| *client.state().borrow() == ClientState::Connected).count();
                println!("{connected} {}", clients.iter().map(Client::waiting).sum::<usize>());
            }
            _ => return Err(format!("boxes are not told {line:?}").into()),
        }
    }
    Ok(())
}

/// Sends messages that count, and notes each one that the outbox has accepted.
async fn read(client: Client, id: usize, start: u64, is_on: Arc<AtomicBool>, notes: Notes) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = start << 32;
    loop {
        ticks.tick().await;
        if is_on.load(Relaxed) {
            number += 1;
            match client.send(&Reading { number }).await {
                Ok(_) => notes.add(&format!("accepted box-{id} {number}")),
                Err(error) => notes.add(&format!("event box-{id} {number}: {error}")),
            }
        }
    }
}
