//! The task of a `WebSocketStream` of tokio-tungstenite, for `Connection::new`. It has no hub, no
//! client and no endpoint.
use crate::{
    config::Config,
    connection::{OpenWebSocket, StartTask, handle::Handle},
    dispatch::{program::Program, run::Scope},
    protocol::endpoint::Untyped,
    task::{
        self,
        transport::{tcp, tungstenite::TungsteniteTransport},
    },
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_util::sync::CancellationToken;

impl<S> OpenWebSocket for WebSocketStream<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn into_start(self) -> StartTask {
        let peer = tcp::of(self.get_ref()).and_then(|socket| socket.peer_addr().ok());
        StartTask(Box::new(|conn| Box::pin(run(TungsteniteTransport::new(self), conn))), peer)
    }
}

async fn run<S: AsyncRead + AsyncWrite + Send + Unpin>(transport: TungsteniteTransport<S>, conn: Handle) {
    let program = Program::without_handlers(Untyped::default(), Config::default());
    let scope = Scope { program: &program, hub: None };
    task::run(&mut Some(transport), &conn, &scope, &CancellationToken::new()).await;
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use crate::{CancellationToken, Connection};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

    #[tokio::test]
    async fn the_task_of_a_stream_writes_and_reads() {
        let (near, mut far) = duplex(1000);
        let conn = Connection::new(WebSocketStream::from_raw_socket(near, Role::Server, None).await);
        conn.start(CancellationToken::new());
        conn.send_bytes("text").await.unwrap();
        let mut frame = [0; 6];
        far.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"\x81\x04text");
        far.write_all(b"\x88\x82\0\0\0\0\x03\xe9").await.unwrap();
        assert_eq!(u16::from(conn.closed().await.code), 1001);
    }
}
