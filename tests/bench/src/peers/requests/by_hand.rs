//! wsx without its requests: a message with a number, and a message that answers it with the same
//! number. A map has the numbers without an answer yet. There is no deadline: if an answer is lost,
//! the client waits forever.
use super::{Client, Fault};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{net::TcpListener, sync::oneshot};
use wsx::{CancellationToken, Hub};

#[derive(Serialize, Deserialize, wsx::Message)]
struct Add {
    n: u64,
    a: u32,
    b: u32,
    note: String,
}

#[derive(Serialize, Deserialize, wsx::Message)]
struct Sum {
    n: u64,
    sum: u32,
    note: String,
}

wsx::protocol! {
    ByHand v1 {
        Asker -> Adder: Add;
        Adder -> Asker: Sum;
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Adder)]
struct Calculator;

#[wsx::handler(on = Calculator)]
fn on_add(Add { n, a, b, note }: Add) -> Sum {
    Sum { n, sum: a + b, note }
}

#[derive(wsx::Endpoint, Default)]
#[wsx(side = Asker)]
struct Waiting {
    next: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<super::Sum>>>,
}

#[wsx::handler(on = Waiting)]
fn on_sum(Sum { n, sum, note }: Sum, waiting: &Waiting) {
    let answer = waiting.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&n);
    if let Some(answer) = answer {
        // The receiver is dropped only if its request was.
        let _ = answer.send(super::Sum { sum, note });
    }
}

pub(in crate::peers) async fn serve(listener: TcpListener) {
    Hub::builder().endpoint(Calculator).build().unwrap().ws_handler(wsx::unique_id, |_| {}).serve(listener).await;
}

pub(in crate::peers) async fn connect(port: u16) -> Result<impl Client, Fault> {
    let client = wsx::Client::builder(format!("ws://127.0.0.1:{port}/ws")).endpoint(Waiting::default()).build()?;
    Ok(client.start(CancellationToken::new()).await?)
}

impl Client for wsx::Client<Waiting> {
    async fn add(&self, super::Add { a, b, note }: super::Add) -> Result<super::Sum, Fault> {
        let Waiting { next, answers } = self.endpoint();
        let n = next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        answers.lock().unwrap_or_else(PoisonError::into_inner).insert(n, sender);
        self.send(&Add { n, a, b, note }).await?;
        Ok(answer.await?)
    }
}
