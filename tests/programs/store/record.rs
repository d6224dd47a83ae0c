//! The process whose writes are recorded: a box and its station, each with its store on disk.
use crate::{
    Result,
    ends::{Entry, ID},
    notes::{End, Note, say},
    random::Random,
};
use std::{
    io,
    path::Path,
    process,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{runtime, time::sleep};
use wsx::{
    CancellationToken, Client, Delivered, Hub, Report,
    delivery::{Delivering, Disk, Mailbox, Outbox, StoreErrorKind},
};
use wsx_tests::Server;

/// The name of the store of each end.
pub(crate) fn file_of(end: End) -> &'static str {
    match end {
        End::Box => "outbox.db",
        End::Station => "mailbox.db",
    }
}

/// The numbers of handled messages, and their senders.
pub(crate) type Seen = Arc<Mutex<Vec<(End, u64)>>>;

/// An end that notes which messages of the other one it has handled, or else says it.
#[derive(Debug, wsx::Endpoint)]
pub(crate) struct Recorded(End, Option<Seen>);

#[wsx::handler(on = Recorded)]
fn on_entry(
    Recorded(end, seen): &Recorded,
    entry: Entry,
    Delivered { epoch, number, .. }: Delivered,
) -> io::Result<()> {
    if let Some(seen) = seen {
        seen.lock().expect("nobody panics").push((end.other(), entry.n));
        return Ok(());
    }
    note(end.other(), &Note::Handled { epoch: (*epoch).to_owned(), seq: number, n: entry.n })
}

/// Says a line about the messages of an end.
fn note(sender: End, note: &Note) -> io::Result<()> {
    say(format_args!("{sender:?} {note}"))
}

/// Sends messages over several lives of both ends. The numbers begin with `first`.
pub(crate) fn run(folder: &Path, first: &str, seed: &str) -> Result {
    let (mut next, mut random) = (first.parse()?, Random::new(seed.parse()?, 0));
    let outcome: Result = runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        for life in 0..3 {
            let (client, server) = open(folder, None).await?;
            // In one life of three, the box has no link, and a backlog grows.
            if life != 1 {
                client.start(CancellationToken::new()).await?;
            }
            for _ in 0..30 + random.below(30) {
                let burst = next..next + 1 + random.below(12);
                next = burst.end;
                send(End::Box, burst.clone().map(|n| (n, client.deliver(&Entry::new(n))))).await?;
                if random.is_heads() {
                    send(End::Station, burst.map(|n| (n, server.hub.deliver(ID, &Entry::new(n))))).await?;
                }
                if random.below(8) == 0 {
                    sleep(Duration::from_millis(random.below(200))).await;
                }
            }
            if life == 2 {
                // As a kill: without an end of the stores.
                process::exit(0);
            }
            client.close();
            client.closed().await;
            server.stop().await;
        }
        Ok(())
    });
    outcome.or_else(|error| Ok(note(End::Box, &Note::Fault(Report(&*error).to_string()))?))
}

/// Opens both ends, when the stores of their last life are closed.
pub(crate) async fn open(folder: &Path, seen: Option<Seen>) -> Result<(Client<Recorded>, Server<Recorded>)> {
    let mailbox =
        Mailbox::new().bytes_per_peer(1 << 24).messages_per_peer(100_000).store(disk(folder, End::Station).await?);
    let server =
        Server::start(Hub::builder().endpoint(Recorded(End::Station, seen.clone())).mailbox(mailbox).build()?).await;
    let outbox = Outbox::new().store(disk(folder, End::Box).await?);
    let client = Client::builder(server.url(ID)).endpoint(Recorded(End::Box, seen)).outbox(outbox).build()?;
    Ok((client, server))
}

async fn disk(folder: &Path, end: End) -> Result<Disk> {
    loop {
        match Disk::open(folder.join(file_of(end))) {
            Err(error) if error.kind() == StoreErrorKind::Locked => sleep(Duration::from_millis(1)).await,
            opened => return Ok(opened?),
        }
    }
}

/// Waits until these messages of an end are accepted. A task waits until each is handled.
async fn send(sender: End, burst: impl Iterator<Item = (u64, Delivering)>) -> Result {
    let mut open: Vec<_> = burst.collect();
    for (n, delivering) in &mut open {
        delivering.accepted().await?;
        note(sender, &Note::Accepted(*n))?;
    }
    for (n, delivering) in open {
        tokio::spawn(async move {
            // It ends without a result at the end of its life.
            if delivering.await.is_ok() { note(sender, &Note::Done(n)) } else { Ok(()) }
        });
    }
    Ok(())
}
