//! tokio-websockets as its examples show: accept, split, and `send` for each message.
use super::everyone;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{Message, ServerBuilder};

pub(super) async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream));
    }
}

async fn connection(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok((_, socket)) = ServerBuilder::new().accept(stream).await else { return };
    // A task of its own, so that its memory has nothing of the handshake.
    tokio::spawn(async move {
        let (mut sink, mut incoming) = socket.split();
        let (place, mut queue) = everyone::enter();
        tokio::spawn(async move {
            while let Some(text) = queue.recv().await {
                if sink.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(message)) = incoming.next().await {
            if message.is_text() {
                if !place.handle(message.as_payload()).await {
                    return;
                }
            } else if message.is_close() {
                return;
            }
        }
    });
}
