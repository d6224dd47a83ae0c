//! A link in memory between a hub and its clients, which a test can break.
//!
//! It carries bytes; it does not know WebSocket.
use crate::{client::Destination, protocol::endpoint::Endpoint, server::WsHandler};
use futures_util::future::BoxFuture;
use std::{
    fmt, io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    sync::watch,
};

/// The bytes in each direction that the link holds at most, as the socket of a small system does.
/// Too low: a write needs many turns. Too high: a test does not see a full link.
const CAPACITY: usize = 64 * 1024;

/// A link in memory between a hub and its clients, which a test can break. A clone is the same
/// link.
///
/// The hub and the clients are those of the program, with their real handshake, tasks and frames.
/// Only TCP is replaced. So `build_id` sees the request of each client, with the path and the
/// headers, and a client reconnects when its connection breaks. Use URLs of `ws://`, with any host.
///
/// | call | connections | later attempts |
/// |---|---|---|
/// | [`cut`](Self::cut) | break | succeed |
/// | [`down`](Self::down) | break | fail, until [`up`](Self::up) |
/// | [`silence`](Self::silence) | stay, but carry nothing until [`up`](Self::up) | wait for `up` |
///
/// A test with a link should run on a paused clock. The waits of a client then take no time, and
/// the test runs in the same way each time. The [module](crate::testing#the-clock) says what that
/// needs.
///
/// # Examples
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, wsx::Message)]
/// # struct Telemetry { celsius: f64 }
/// # wsx::protocol! { Fleet v1 { Edge -> Server: Telemetry; } }
/// # #[derive(wsx::Endpoint)]
/// # #[wsx(side = Server)]
/// # struct Station;
/// # #[wsx::handler(on = Station)]
/// # fn on_telemetry(_: Telemetry) {}
/// # #[derive(wsx::Endpoint)]
/// # #[wsx(side = Edge)]
/// # struct EdgeBox;
/// use std::time::Duration;
/// use tokio::time::sleep;
/// use wsx::{CancellationToken, Client, Hub, testing::TestLink};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// // #[tokio::test(start_paused = true)]
/// # async fn main() { a_box_reconnects().await.unwrap(); }
/// async fn a_box_reconnects() -> Result<(), Box<dyn std::error::Error>> {
///     let hub = Hub::builder().endpoint(Station).build()?;
///     let link = TestLink::to(hub.ws_handler(wsx::unique_id, |_| {}));
///     let client = Client::builder("ws://station/ws")
///         .endpoint(EdgeBox)
///         .connector(link.connector())
///         .build()?;
///     client.start(CancellationToken::new()).await?;
///
///     link.down();
///     sleep(Duration::from_secs(60)).await; // takes no time
///     assert!(hub.is_empty() && client.connection().is_none());
///
///     link.up();
///     client.connected().await?;
///     assert_eq!(hub.len(), 1);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct TestLink(Arc<Shared>);

struct Shared {
    /// Makes the handshake of the hub on a stream.
    serve: Box<dyn Fn(DuplexStream, SocketAddr) -> BoxFuture<'static, ()> + Send + Sync>,
    state: watch::Sender<State>,
    /// The port of the last client, so that each has its own address.
    port: AtomicU16,
}

#[derive(Clone, Copy)]
struct State {
    mode: Mode,
    /// How often the connections were broken. A connection ends when this changes.
    breaks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Up,
    Silent,
    Down,
}

impl TestLink {
    /// Returns a link to the hub of this handler. It is up.
    ///
    /// `build_id` and the observer of the hub see the address 127.0.0.1, with a port of its own for
    /// each connection.
    pub fn to<E: Endpoint>(upgrade: WsHandler<E>) -> Self {
        let serve = move |stream, peer| -> BoxFuture<'static, ()> {
            let upgrade = upgrade.clone();
            Box::pin(async move {
                // The observer of the hub has already received the error.
                let _ = upgrade.serve_connection(stream, Some(peer)).await;
            })
        };
        let state = watch::Sender::new(State { mode: Mode::Up, breaks: 0 });
        Self(Arc::new(Shared { serve: Box::new(serve), state, port: AtomicU16::new(0) }))
    }

    /// Returns the function for
    /// [`ClientBuilder::connector`](crate::client::ClientBuilder::connector). Several clients can
    /// have one each.
    pub fn connector(
        &self,
    ) -> impl Fn(Destination) -> BoxFuture<'static, io::Result<DuplexStream>> + Send + Sync + 'static {
        let shared = self.0.clone();
        move |_| {
            let shared = shared.clone();
            Box::pin(async move { shared.dial().await })
        }
    }

    /// Breaks all connections. Bytes that are on their way are lost. A new attempt succeeds.
    pub fn cut(&self) {
        self.0.state.send_modify(|state| *state = State { mode: Mode::Up, breaks: state.breaks + 1 });
    }

    /// Breaks all connections, and refuses new ones until [`up`](Self::up).
    pub fn down(&self) {
        self.0.state.send_modify(|state| *state = State { mode: Mode::Down, breaks: state.breaks + 1 });
    }

    /// Carries nothing until [`up`](Self::up), without breaking connections: a link that died
    /// silently. Only a heartbeat or a timeout notices it.
    pub fn silence(&self) {
        self.0.state.send_modify(|state| state.mode = Mode::Silent);
    }

    /// Ends [`down`](Self::down) and [`silence`](Self::silence).
    pub fn up(&self) {
        self.0.state.send_modify(|state| state.mode = Mode::Up);
    }
}

impl Shared {
    /// Connects a client to the hub. Returns the client's end.
    async fn dial(&self) -> io::Result<DuplexStream> {
        let mut states = self.state.subscribe();
        let state = states.wait_for(|state| state.mode != Mode::Silent).await;
        let state = *state.expect("the sender is in `self`");
        if state.mode == Mode::Down {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the test's link is down"));
        }
        let (client, near) = duplex(CAPACITY);
        let (far, server) = duplex(CAPACITY);
        let port = self.port.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        tokio::spawn((self.serve)(server, SocketAddr::from(([127, 0, 0, 1], port))));
        tokio::spawn(relay(near, far, states, state.breaks));
        Ok(client)
    }
}

/// Carries the bytes of one connection until it ends or breaks. When this drops its two streams,
/// both ends see that the connection is lost.
async fn relay(mut near: DuplexStream, mut far: DuplexStream, mut states: watch::Receiver<State>, breaks: u64) {
    let mut carrying = pin!(copy_bidirectional(&mut near, &mut far));
    loop {
        let state = *states.borrow_and_update();
        if state.breaks != breaks {
            return;
        }
        tokio::select! {
            biased;
            // An error means that the test has dropped the link and all its connectors.
            changed = states.changed() => if changed.is_err() {
                return;
            },
            _ = &mut carrying, if state.mode == Mode::Up => return,
        }
    }
}

impl fmt::Debug for TestLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestLink").field("mode", &self.0.state.borrow().mode).finish_non_exhaustive()
    }
}
