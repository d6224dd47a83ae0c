//! A connection without a hub and without a client: the user brings the WebSocket, and adds handlers by hand.
use crate::{
    config::Config,
    connection::{Connection, Start},
    dispatch::router::{Router, Scope},
    observer::Blind,
    protocol::endpoint::Untyped,
    task::drive,
    task::transport::Brought,
};
use std::sync::atomic::AtomicU64;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use tokio_util::sync::CancellationToken;

impl Connection {
    /// A connection on a WebSocket that tokio-tungstenite has opened, at either end. It does nothing until it is
    /// [started](Self::start); messages sent before that wait in the queue.
    ///
    /// Only handlers from [`register_handler`](Self::register_handler) run on it. The bounds are those of
    /// [`Config::default`], except that the longest message is that of `ws`'s own configuration.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio_tungstenite::client_async;
    /// use wsx::{CancellationToken, Connection, Envelope};
    ///
    /// let tcp = tokio::net::TcpStream::connect("127.0.0.1:9001").await?;
    /// let (ws, _) = client_async("ws://127.0.0.1:9001/ws", tcp).await?;
    /// let conn = Connection::new(ws);
    /// conn.register_handler("cmd", |command: Envelope, _| async move { println!("{command:?}") });
    /// conn.start(CancellationToken::new());
    /// conn.send(&Envelope::with_type("hello", "box-7")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<S>(ws: WebSocketStream<S>) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // The stream makes its own masks, so frames are finished as a server's, whichever end this is.
        let conn = Self::unopened("".into(), Role::Server, &Config::default());
        let start: Start = Box::new(|conn| Box::pin(run(Brought::new(ws), conn)));
        conn.set_start(start);
        conn
    }

    /// Begins reading and writing, in a task of its own. When `cancel` is triggered the connection closes with 1000.
    /// Calling it again, or on a connection of a hub or a client, changes nothing.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(&self, cancel: CancellationToken) {
        let Some(start) = self.take_start() else { return };
        let (conn, task) = (self.clone(), start(self.clone()));
        tokio::spawn(async move {
            let mut task = task;
            tokio::select! {
                () = &mut task => return,
                () = cancel.cancelled() => conn.close(),
            }
            task.await;
        });
    }
}

async fn run<S: AsyncRead + AsyncWrite + Send + Unpin>(transport: Brought<S>, conn: Connection) {
    let scope = Scope {
        endpoint: &Untyped::default(),
        hub: None,
        router: &Router::empty(),
        config: &Config::default(),
        observer: &Blind,
        ignored: &AtomicU64::new(0),
    };
    drive(&mut Some(transport), &conn, &scope, &CancellationToken::new()).await;
}
