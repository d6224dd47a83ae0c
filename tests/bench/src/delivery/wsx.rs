//! wsx as its guide shows: the type declares that it is kept, and `send` does the rest.
use super::{Fault, Reading, Receiving, Sender, WAITING, Work, say};
use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::net::TcpListener;
use wsx::{CancellationToken, Client, Connection, Hub, Rejection, delivery::Mailbox};

/// The id of the client at the other side of the hub.
const RECEIVER: &str = "receiver";

/// Takes the id from the query.
async fn id(request: wsx::http::request::Parts) -> Result<String, Rejection> {
    Ok(request.uri.query().unwrap_or("sender").to_owned())
}

/// Prints the port, and serves.
async fn listen(hub: Hub) -> Result<(), Fault> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    say(&listener.local_addr()?.port().to_string())?;
    hub.ws_handler(id, |_| {}).serve(listener).await;
    Err("the hub stopped by itself".into())
}

/// A handler that counts.
fn counting(work: &Work) -> impl Fn(Reading, Connection) -> Ready<()> + use<> {
    let receiving = Mutex::new(Receiving::new(work));
    move |reading, _| {
        let handled = receiving.lock().unwrap_or_else(PoisonError::into_inner).handle(&reading);
        if let Err(fault) = handled {
            // The comparison reads it in place of the figures.
            let _ = say(&fault.to_string());
        }
        ready(())
    }
}

/// The hub that handles the messages.
pub(super) async fn serve(work: Work) -> Result<(), Fault> {
    listen(Hub::builder().on("reading", counting(&work)).build()?).await
}

/// The hub that sends the messages on.
pub(super) async fn forward() -> Result<(), Fault> {
    // The broker has no limit either.
    let mailbox =
        Mailbox::new().messages_per_peer(10_000_000).bytes_per_peer(1 << 32).messages(10_000_000).bytes(1 << 32);
    let own = Arc::new(OnceLock::<Hub>::new());
    let hub = own.clone();
    let built = Hub::builder()
        .mailbox(mailbox)
        .on("reading", move |reading: Reading, _: Connection| {
            let sending = hub.get().map(|hub| hub.send_to(RECEIVER, &reading));
            async move {
                sending.ok_or("the hub is not built")?.await?;
                Ok::<_, Fault>(())
            }
        })
        .build()?;
    let _ = own.set(built.clone());
    listen(built).await
}

/// The client at the other side of the hub.
pub(super) async fn receive(work: Work) -> Result<(), Fault> {
    let url = format!("ws://127.0.0.1:{}/ws?{RECEIVER}", work.port);
    let client = Client::builder(url).on("reading", counting(&work)).build()?;
    client.start(CancellationToken::new()).await?;
    say("ready")?;
    std::future::pending().await
}

/// The client that sends.
pub(super) async fn connect(work: Work) -> Result<impl Sender, Fault> {
    Ok(Client::new(format!("ws://127.0.0.1:{}/ws", work.port)).start(CancellationToken::new()).await?)
}

impl Sender for Client {
    async fn send(&self, reading: Reading) -> Result<(), Fault> {
        let n = reading.n;
        Self::send(self, &reading).await?;
        // The outbox would take more. As many wait as in the queue of the other client.
        while n.is_multiple_of(64) && self.waiting() > WAITING {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn acknowledged(&self) -> Result<(), Fault> {
        while self.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}
