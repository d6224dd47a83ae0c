//! tokio-tungstenite as its chat server example shows: split, a queue, and a writer that forwards
//! the queue into the sink. `forward` flushes when the queue is empty, so queued frames leave
//! together. A loop around `send`, which many programs have, makes a system call for each frame.
use super::everyone;
use futures_util::{StreamExt, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};

/// The library's defaults: a read buffer of 128 KiB for each connection, filled with zeros before
/// each read.
pub(super) async fn serve(listener: TcpListener) {
    accept(listener, WebSocketConfig::default()).await;
}

/// With the one setting that matters for many small messages. The limits stay the defaults.
pub(super) async fn serve_tuned(listener: TcpListener) {
    accept(listener, WebSocketConfig::default().read_buffer_size(4096)).await;
}

async fn accept(listener: TcpListener, config: WebSocketConfig) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, config));
    }
}

async fn connection(stream: TcpStream, config: WebSocketConfig) {
    // The example does not set this, but without it a broadcast would wait 40 ms for delayed
    // acknowledgements.
    let _ = stream.set_nodelay(true);
    let Ok(socket) = accept_async_with_config(stream, Some(config)).await else { return };
    // A task of its own, so that its memory has nothing of the handshake.
    tokio::spawn(async move {
        let (sink, mut incoming) = socket.split();
        let (place, mut queue) = everyone::enter();
        tokio::spawn(
            stream::poll_fn(move |cx| queue.poll_recv(cx))
                .map(|text| Utf8Bytes::try_from(text).map(Message::Text).map_err(Into::into))
                .forward(sink),
        );
        while let Some(Ok(message)) = incoming.next().await {
            match message {
                Message::Text(text) if place.handle(text.as_bytes()).await => {}
                // The library answers these with its next read.
                Message::Ping(_) | Message::Pong(_) => {}
                _ => return,
            }
        }
    });
}
