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
