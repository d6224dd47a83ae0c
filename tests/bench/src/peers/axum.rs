//! axum as its documentation shows: an upgrade, split, and a task around `send`.
use super::everyone;
use axum::{
    Router,
    extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    routing::any,
    serve::ListenerExt,
};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;

pub(super) async fn serve(listener: TcpListener) {
    let app = Router::new().route("/ws", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(connection)));
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    // Accepting does not end, and axum handles its errors.
    let _ = axum::serve(listener, app).await;
}

async fn connection(socket: WebSocket) {
    let (mut sink, mut incoming) = socket.split();
    let (place, mut queue) = everyone::enter();
    tokio::spawn(async move {
        while let Some(text) = queue.recv().await {
            let Ok(text) = Utf8Bytes::try_from(text) else { return };
            if sink.send(Message::Text(text)).await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = incoming.next().await {
        match message {
            Message::Text(text) if place.handle(text.as_bytes()).await => {}
            Message::Ping(_) | Message::Pong(_) => {}
            _ => return,
        }
    }
}
