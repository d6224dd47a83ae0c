//! The two programs that are killed: a box, and its station. Each sends kept messages to the other.
use crate::{
    Result,
    notes::{Note, say},
};
use serde::{Deserialize, Serialize};
use std::{io, net::TcpListener, os::fd::AsFd, path::Path, time::Duration};
use tokio::{runtime, time::sleep};
use wsx::{
    Backoff, CancellationToken, Client, Delivered, Hub, Report,
    delivery::{Delivering, Disk, Mailbox, Outbox},
};
use wsx_tests::query_id;

/// At most so many messages wait at an end, so that a campaign does not fill its disk.
const WAITING: usize = 300;

/// The id of the box.
pub(crate) const ID: &str = "box";

/// A message. Its text follows from its number, so damage is seen.
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
pub(crate) struct Entry {
    pub(crate) n: u64,
    pub(crate) text: String,
}

impl Entry {
    pub(crate) fn new(n: u64) -> Self {
        let len = usize::try_from(n.wrapping_mul(0x9E37_79B9) % 400).expect("it is small");
        Self { n, text: format!("{n:x}-").chars().cycle().take(len).collect() }
    }

    pub(crate) fn is_right(&self) -> bool {
        self.text == Self::new(self.n).text
    }
}

#[derive(Debug, wsx::Endpoint)]
struct Program;

#[wsx::handler(on = Program)]
fn on_entry(_: &Program, entry: Entry, Delivered { epoch, number, .. }: Delivered) -> io::Result<()> {
    if !entry.is_right() {
        say(Note::Fault(format!("message {} has a wrong text", entry.n)))?;
    }
    say(Note::Handled { epoch: (*epoch).to_owned(), seq: number, n: entry.n })
}

/// Runs the box, until it is killed.
pub(crate) fn client(url: &str, folder: &Path, first: &str, sends: &str) -> Result {
    block_on(async {
        let disk = Disk::open(folder.join("outbox.db"))?;
        let client = Client::builder(url)
            .endpoint(Program)
            .backoff(Backoff::default().initial(Duration::from_millis(1)).max(Duration::from_millis(10)))
            .outbox(Outbox::new().store(disk))
            .build()?;
        say(Note::Open)?;
        let starting = client.clone();
        tokio::spawn(async move { starting.start(CancellationToken::new()).await });
        send(|entry| client.deliver(entry), || client.waiting(), first.parse()?, sends == "sends").await
    })
}

/// Runs the station, until it is killed. Its listener is its standard input, so that nobody takes
/// the port while it is away.
pub(crate) fn station(folder: &Path, first: &str, sends: &str) -> Result {
    block_on(async {
        let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
        listener.set_nonblocking(true)?;
        let disk = Disk::open(folder.join("mailbox.db"))?;
        let hub = Hub::builder().endpoint(Program).mailbox(Mailbox::new().store(disk)).build()?;
        say(Note::Open)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::spawn(hub.ws_handler(query_id, |_| {}).serve(listener));
        send(|entry| hub.deliver(ID, entry), || hub.waiting(ID).len(), first.parse()?, sends == "sends").await
    })
}

fn block_on(program: impl Future<Output = Result>) -> Result {
    let outcome = runtime::Builder::new_current_thread().enable_all().build()?.block_on(program);
    outcome.or_else(|error| Ok(say(Note::Fault(Report(&*error).to_string()))?))
}

/// Sends messages, or else waits until nothing waits.
async fn send(deliver: impl Fn(&Entry) -> Delivering, waiting: impl Fn() -> usize, first: u64, sends: bool) -> Result {
    if sends {
        return send_for_ever(deliver, waiting, first).await;
    }
    while waiting() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    say(Note::Empty)?;
    std::future::pending().await
}

/// Sends messages in bursts.
async fn send_for_ever(deliver: impl Fn(&Entry) -> Delivering, waiting: impl Fn() -> usize, mut next: u64) -> Result {
    loop {
        let burst = (1 + next % 7).min(WAITING.saturating_sub(waiting()) as u64);
        let mut open: Vec<_> = (next..next + burst).map(|n| (n, deliver(&Entry::new(n)))).collect();
        next += burst;
        for (n, delivering) in &mut open {
            delivering.accepted().await?;
            say(Note::Accepted(*n))?;
        }
        for (n, delivering) in open {
            tokio::spawn(async move {
                let note = match delivering.await {
                    Ok(()) => Note::Done(n),
                    Err(error) => Note::Fault(Report(&error).to_string()),
                };
                say(note)
            });
        }
        if burst == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}
