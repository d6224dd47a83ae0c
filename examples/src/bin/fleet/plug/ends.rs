//! The two programs that are killed: the office, and a meter. Each is a child process.
//!
//! Both send kept messages, and write each one down when it was accepted. Both write down what they
//! handle. They do not know when the plug is pulled.
use crate::plug::books::Books;
use fleet_protocol::bill::{self, Reading, Tariff};
use fleet_protocol::{PATH, box_id};
use std::future::ready;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{thread, time::Duration};
use tokio::time::sleep;
use wsx::delivery::{Disk, Mailbox, Outbox};
use wsx::http::{StatusCode, request::Parts};
use wsx::{Backoff, BoxError, CancellationToken, Client, Config, Connection, Delivered, Hub, Rejection, SendError};

/// The name of the office in the books.
pub(crate) const OFFICE: &str = "office";
/// Time between two readings of a meter.
const READ: Duration = Duration::from_millis(10);
/// Time between two tariffs for all meters.
const SET: Duration = Duration::from_millis(100);
/// Time between two looks at what waits.
const LOOK: Duration = Duration::from_millis(20);
/// Grace period for the connections at the end.
const GRACE: Duration = Duration::from_secs(5);

/// The hidden commands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum End {
    #[command(hide = true)]
    Office { directory: PathBuf, name: String, meters: String, run: u32 },
    #[command(hide = true)]
    Meter { directory: PathBuf, name: String, url: String, run: u32 },
}

/// Runs one of them until the parent ends it.
pub(crate) async fn run(end: End) -> Result<(), BoxError> {
    match end {
        End::Office { directory, name, meters, run } => {
            office(&directory, &name, meters.split(',').collect(), run).await
        }
        End::Meter { directory, name, url, run } => meter(&directory, &name, &url, run).await,
    }
}

#[derive(Debug, wsx::Endpoint)]
#[wsx(side = bill::Office)]
struct Office(Books);

#[wsx::handler(on = Office)]
fn on_reading(
    Office(books): &Office,
    Reading { run, number }: Reading,
    delivered: Delivered,
    conn: &Connection<bill::Office>,
) -> io::Result<()> {
    books.handle(conn.id(), &delivered, run, number)
}

#[derive(Debug, wsx::Endpoint)]
#[wsx(side = bill::Meter)]
struct Meter(Books);

#[wsx::handler(on = Meter)]
fn on_tariff(Meter(books): &Meter, Tariff { run, number }: Tariff, delivered: Delivered) -> io::Result<()> {
    books.handle(OFFICE, &delivered, run, number)
}

async fn office(directory: &Path, name: &str, meters: Vec<&str>, run: u32) -> Result<(), BoxError> {
    let books = Books::open(directory, name)?;
    let mailbox = Mailbox::new().store(Disk::open(directory.join("office.db"))?);
    let endpoint = Office(books.clone());
    let hub = Hub::builder().endpoint(endpoint).config(config()).observer(books.clone()).mailbox(mailbox).build()?;
    let listener = wsx_examples::listen("127.0.0.1:0").await?;
    say(&listener.local_addr()?.to_string())?;
    tokio::spawn(hub.ws_handler(|request| ready(identify(&request)), |_| {}).path(PATH).serve(listener));

    let parent = Parent::listen();
    let mut number = 0;
    while !parent.wants_calm.is_cancelled() {
        for meter in &meters {
            number += 1;
            match hub.send_to(meter, &Tariff { run, number }).await {
                Ok(_) => books.accept(meter, run, number)?,
                // The meter has been away for long. This tariff was not accepted.
                Err(SendError::OutboxFull) => {}
                Err(error) => return Err(error.into()),
            }
        }
        parent.pause(SET).await;
    }
    while meters.iter().any(|meter| !hub.waiting(meter).is_empty()) && !parent.wants_end.is_cancelled() {
        sleep(LOOK).await;
    }
    say("calm")?;
    parent.wants_end.cancelled().await;
    hub.shutdown(GRACE).await;
    Ok(())
}

async fn meter(directory: &Path, id: &str, url: &str, run: u32) -> Result<(), BoxError> {
    let books = Books::open(directory, id)?;
    let outbox = Outbox::new().store(Disk::open(directory.join(format!("{id}.db")))?);
    let client = Client::builder(format!("{url}?id={id}"))
        .endpoint(Meter(books.clone()))
        .config(config())
        .backoff(Backoff::default().initial(Duration::from_millis(20)).max(Duration::from_millis(500)))
        .observer(books.clone())
        .outbox(outbox)
        .build()?;
    let starting = client.clone();
    // Readings are accepted before the first connection too.
    tokio::spawn(async move { starting.start(CancellationToken::new()).await });

    let parent = Parent::listen();
    let mut number = 0;
    while !parent.wants_calm.is_cancelled() {
        number += 1;
        client.send(&Reading { run, number }).await?;
        books.accept(OFFICE, run, number)?;
        parent.pause(READ).await;
    }
    while client.waiting() > 0 && !parent.wants_end.is_cancelled() {
        sleep(LOOK).await;
    }
    say("calm")?;
    parent.wants_end.cancelled().await;
    client.close();
    client.closed().await;
    Ok(())
}

/// Notices within seconds that a link is silent.
fn config() -> Config {
    Config::edge().heartbeat(Duration::from_secs(1), Duration::from_secs(1))
}

fn identify(request: &Parts) -> Result<String, Rejection> {
    let id = request.uri.query().and_then(|query| query.strip_prefix("id=")).unwrap_or_default();
    box_id(id).map_err(|why| Rejection::new(StatusCode::BAD_REQUEST, why))
}

/// What the parent wants, which it says on standard input.
struct Parent {
    /// Nothing new is sent from now on.
    wants_calm: CancellationToken,
    /// The program ends. The parent may have been killed.
    wants_end: CancellationToken,
}

impl Parent {
    fn listen() -> Self {
        let (wants_calm, wants_end) = (CancellationToken::new(), CancellationToken::new());
        let (calm, end) = (wants_calm.clone(), wants_end.clone());
        thread::spawn(move || {
            if io::stdin().read_line(&mut String::new()).is_ok() {
                calm.cancel();
                // Until its end.
                let _ = io::copy(&mut io::stdin(), &mut io::sink());
            }
            calm.cancel();
            end.cancel();
        });
        Self { wants_calm, wants_end }
    }

    /// Sleeps, unless the parent wants calm.
    async fn pause(&self, time: Duration) {
        let _ = self.wants_calm.run_until_cancelled(sleep(time)).await;
    }
}

/// Says a line to the parent.
fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())
}
