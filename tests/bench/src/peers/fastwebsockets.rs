//! fastwebsockets as its example shows: hyper does the handshake, the halves are split, and each
//! frame is written when it is taken from the queue.
use super::everyone;
use bytes::Bytes;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError,
    upgrade::{self, UpgradeFut},
};
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub(super) async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(handshake)).with_upgrades(),
        );
    }
}

async fn handshake(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    tokio::spawn(connection(upgraded));
    Ok(response)
}

async fn connection(upgraded: UpgradeFut) {
    let Ok(socket) = upgraded.await else { return };
    let (reader, mut writer) = socket.split(tokio::io::split);
    let mut reader = FragmentCollectorRead::new(reader);
    let (place, mut queue) = everyone::enter();
    tokio::spawn(async move {
        while let Some(text) = queue.recv().await {
            if writer.write_frame(Frame::text(Payload::Borrowed(&text))).await.is_err() {
                return;
            }
        }
    });
    // A pong, or the answer to a close, would have to go through the writer. The load sends nothing
    // that requires one.
    let mut no_answer = |_: Frame<'_>| async { Err(WebSocketError::ConnectionClosed) };
    while let Ok(frame) = reader.read_frame(&mut no_answer).await {
        match frame.opcode {
            OpCode::Text if place.handle(&frame.payload).await => {}
            OpCode::Pong => {}
            _ => return,
        }
    }
}
