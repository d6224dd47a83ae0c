//! wsx as its guide shows: a protocol that names the reply of a request. All settings are the
//! defaults, so each request has a deadline.
use super::{Add, Client, Fault, Sum};
use tokio::net::TcpListener;
use wsx::{CancellationToken, Hub};

wsx::protocol! {
    Adding v1 {
        Asker -> Adder: Add -> Sum;
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Adder)]
struct Calculator;

#[wsx::handler(on = Calculator)]
fn on_add(add: Add) -> Sum {
    add.answer()
}

#[derive(wsx::Endpoint)]
#[wsx(side = Asker)]
struct Asking;

pub(in crate::peers) async fn serve(listener: TcpListener) {
    Hub::builder().endpoint(Calculator).build().unwrap().ws_handler(wsx::unique_id, |_| {}).serve(listener).await;
}

pub(in crate::peers) async fn connect(port: u16) -> Result<impl Client, Fault> {
    let client = wsx::Client::builder(format!("ws://127.0.0.1:{port}/ws")).endpoint(Asking).build()?;
    Ok(client.start(CancellationToken::new()).await?)
}

impl Client for wsx::Client<Asking> {
    async fn add(&self, add: Add) -> Result<Sum, Fault> {
        Ok(self.request(&add).await?)
    }
}
