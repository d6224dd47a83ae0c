//! Values of the program that use their own connection when they are cloned, replaced or dropped.
//! No lock of the connection is held at that moment. Row X4 of the specification.
//!
//! With the lock held, the thread would wait for itself. So each case runs in a thread of its own,
//! which is left behind in that case.
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use wsx::{CancellationToken, Client, Connection, Envelope, Hub};
use wsx_tests::{Server, handshake::upgrade, query_id, within};

/// Asserts that the code finishes.
fn finishes(code: impl FnOnce() + Send + 'static) {
    let (finished, result) = mpsc::channel();
    std::thread::spawn(move || {
        code();
        finished.send(()).expect("the test receives");
    });
    result.recv_timeout(Duration::from_secs(10)).expect("the code waits for a lock of its own thread, or panicked");
}

/// Does everything that a value can do with its connection.
fn use_all(conn: &Connection) {
    let _ = conn.is_closed();
    let _ = conn.extension::<u8>();
    conn.set_extension(1_u8);
    conn.on_pong(|_| {});
    conn.register_handler("other", |_: Envelope, _| async {});
    let _ = conn.try_send(&Envelope::with_type("gone", 1));
}

/// Uses its connection when it is cloned, woken or dropped, and reports that.
struct Caller(Connection, mpsc::Sender<()>);

impl Caller {
    fn new(conn: &Connection) -> (Self, mpsc::Receiver<()>) {
        let (called, calls) = mpsc::channel();
        (Self(conn.clone(), called), calls)
    }

    fn call(&self) {
        use_all(&self.0);
        let _ = self.1.send(());
    }
}

impl Clone for Caller {
    fn clone(&self) -> Self {
        self.call();
        Self(self.0.clone(), self.1.clone())
    }
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.call();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.call();
    }
}

/// Returns a connection that is not started, so that its messages wait.
async fn connection() -> Connection {
    let (near, _) = tokio::io::duplex(64);
    Connection::new(WebSocketStream::from_raw_socket(near, Role::Server, None).await)
}

#[tokio::test]
async fn an_extension_may_use_its_connection_when_it_is_cloned_and_when_it_is_replaced() {
    let conn = connection().await;
    finishes(move || {
        let (caller, calls) = Caller::new(&conn);
        conn.set_extension(Arc::new(caller));
        conn.set_extension(Arc::new(Caller::new(&conn).0));
        assert_eq!(calls.try_iter().count(), 1, "dropped");
        let (caller, calls) = Caller::new(&conn);
        conn.set_extension(caller);
        drop(conn.extension::<Caller>().expect("the extension is set"));
        assert_eq!(calls.try_iter().count(), 2, "cloned, and the clone dropped");
    });
}

#[tokio::test]
async fn a_callback_and_a_handler_may_use_their_connection_when_they_are_replaced() {
    let conn = connection().await;
    finishes(move || {
        let (caller, calls) = Caller::new(&conn);
        conn.on_pong(move |_| caller.call());
        conn.on_pong(|_| {});
        assert_eq!(calls.try_iter().count(), 1);
        let (caller, calls) = Caller::new(&conn);
        conn.register_handler("mine", move |_: Envelope, _| {
            caller.call();
            async {}
        });
        conn.register_handler("mine", |_: Envelope, _| async {});
        assert_eq!(calls.try_iter().count(), 1);
    });
}

#[tokio::test]
async fn a_waker_may_use_the_connection_that_a_send_waits_for() {
    let conn = connection().await;
    while conn.try_send(&Envelope::with_type("fill", 1)).is_ok() {}
    finishes(move || {
        let sending = conn.clone();
        let mut send = Box::pin(async move { sending.send(&Envelope::with_type("waiting", 1)).await });
        let (mut poll, message) =
            (|waker: &Waker| send.as_mut().poll(&mut Context::from_waker(waker)).is_pending(), "the queue is full");
        let (first, first_calls) = Caller::new(&conn);
        assert!(poll(&Arc::new(first).into()), "{message}");
        let (second, second_calls) = Caller::new(&conn);
        assert!(poll(&Arc::new(second).into()), "{message}");
        assert_eq!(first_calls.try_iter().count(), 1, "replaced");
        drop(send);
        assert_eq!(second_calls.try_iter().count(), 1, "dropped with its message");
        let sending = conn.clone();
        let mut send = Box::pin(async move { sending.send(&Envelope::with_type("waiting", 1)).await });
        let (third, third_calls) = Caller::new(&conn);
        assert!(send.as_mut().poll(&mut Context::from_waker(&Arc::new(third).into())).is_pending(), "{message}");
        conn.close();
        assert_eq!(third_calls.try_iter().count(), 2, "woken, and dropped");
    });
}

/// A reader of the changes of a hub is woken, and the values of a connection that is replaced or
/// ends are dropped, without a lock of the hub.
#[test]
fn what_a_hub_wakes_and_drops_may_use_the_hub() {
    struct User(Hub, mpsc::Sender<()>);
    impl User {
        fn use_all(&self) {
            let _ = (self.0.presence().snapshot(), self.0.ids(), self.0.ids_of("x"), self.0.labels_of("box-7"));
            let _ = (self.0.add_label("box-7", "y"), self.0.remove_label("box-7", "y"));
            let _ = self.1.send(());
        }
    }
    impl Wake for User {
        fn wake(self: Arc<Self>) {
            self.use_all();
        }
    }
    impl Drop for User {
        fn drop(&mut self) {
            self.use_all();
        }
    }
    finishes(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (hub, (called, calls)) = (Hub::new(), mpsc::channel());
            let user = || Arc::new(User(hub.clone(), called.clone()));
            let mut changes = hub.presence().changes();
            assert!(within(changes.recv()).await.is_some());
            let mut next = Box::pin(changes.recv());
            assert!(next.as_mut().poll(&mut Context::from_waker(&user().into())).is_pending());
            let handler = hub.ws_handler(query_id, |_| {});
            let mut peers = Vec::new();
            for _ in 0..2 {
                let (near, mut far) = tokio::io::duplex(4096);
                far.write_all(upgrade("/ws?id=box-7", "").as_bytes()).await.unwrap();
                within(handler.serve_connection(near, None)).await.unwrap().set_extension(user());
                peers.push(far);
            }
            assert!(calls.try_iter().count() > 0, "woken");
            drop(peers);
            within(async {
                while !hub.is_empty() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            hub.shutdown(Duration::ZERO).await;
            assert!(calls.try_iter().count() >= 2, "two values were dropped");
            drop(next);
        });
    });
}

/// The last handle of a client may be dropped by the client's own connection.
#[test]
fn what_a_clients_connection_leaves_behind_may_use_the_client() {
    struct Last(Client, mpsc::Sender<()>);
    impl Drop for Last {
        fn drop(&mut self) {
            let _ = (self.0.connection(), self.0.is_closed(), *self.0.state().borrow());
            let _ = self.1.send(());
        }
    }
    finishes(|| {
        let serving = tokio::runtime::Runtime::new().unwrap();
        let server = serving.block_on(Server::start(Hub::new()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (dropped, last) = mpsc::channel();
        runtime.block_on(async {
            let (address, still) = (server.address.clone(), Arc::new(AtomicBool::new(false)));
            let switch = still.clone();
            let connector = move |_| {
                let (address, still) = (address.clone(), switch.clone());
                async move { Ok(Still { inner: TcpStream::connect(address).await?, still }) }
            };
            let client = Client::builder(server.url("box-7")).connector(connector).build().unwrap();
            within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
            still.store(true, Ordering::Relaxed);
            client.connection().unwrap().set_extension(Arc::new(Last(client.clone(), dropped)));
            tokio::task::yield_now().await;
        });
        // Dropping the runtime drops the task that serves the connection.
        drop(runtime);
        assert_eq!(last.iter().count(), 1);
    });
}

/// A stream that keeps no waker of the reader once it is `still`. A waker is a handle of the
/// connection.
struct Still {
    inner: TcpStream,
    still: Arc<AtomicBool>,
}

impl AsyncRead for Still {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.still.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(cx, out)
    }
}

impl AsyncWrite for Still {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
