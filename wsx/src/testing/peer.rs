//! A peer without a network: it delivers messages to the handlers of a hub or a client, and takes
//! the messages that they send.
//!
//! It stands in place of the connection's task. It does not know frames on a socket or the
//! handshake; a `TestLink` has both.
mod run;

use crate::{
    client::Client,
    closed::{Closed, ClosedBy},
    connection::{Connection, handle::Handle, requests::Writes},
    envelope::{
        Outbound,
        incoming::{Incoming, RawFrame},
        reply::IntoReply,
    },
    error::HandlerError,
    message::Message,
    protocol::{endpoint::Endpoint, side::Receives},
    server::{establish, hub::Hub, identity::Identity},
    task,
    testing::{
        end::End,
        handled::{Handled, decode},
        sent::Sent,
    },
    wire::close_code::CloseCode,
};
use futures_util::future::BoxFuture;
use serde::{Deserialize, de::DeserializeOwned};
use std::{fmt, future::Future, panic::Location, sync::Arc, time::Duration};
use tokio::{task::AbortHandle, time::timeout};

/// Maximum time that a [`TestPeer`] waits for a handler or a message. Longer than any handler of a
/// test sleeps; on a paused clock it passes at once.
const LIMIT: Duration = Duration::from_secs(3600);

/// A peer without a network, which delivers messages to the handlers of a hub or a client.
///
/// It is the other end of one connection of `E`. A hub can have several peers, each with its own
/// id; they receive broadcasts like any connection.
///
/// A message passes through the envelope and the table of handlers, as if it came over the wire. So
/// a test covers every argument of a handler, the handlers of `__open__`, `__close__`, `__raw__`
/// and `__unknown__`, and messages that do not fit. The compiler accepts only messages that the
/// peer may send.
///
/// Some things differ from a real connection:
///
/// - An error of a handler is returned to the test. The observer receives it too.
/// - A handler that panics, for example by a failed assertion, panics in the test.
/// - There is no handshake, so `build_id` does not run.
/// - The `register` of [`Hub::ws_handler`] and of [`Client::connect`] does not run, and handlers
///   that it adds are missing. The `on_connect` of both builders does run.
/// - The bounds for received messages do not apply.
/// - Requests of the program are messages of `next`, unless [`answer`](Self::answer) takes them.
/// - It handles each [kept](crate::delivery) message of the program at once. A reply of a kept type
///   is a message of `next`. What is sent before `connect` waits for it, as for a real box.
///
/// It waits for a handler or a message for at most an hour, and then panics. Pause the clock to
/// see that at once; the [module](crate::testing#the-clock) says how.
///
/// A peer that is dropped is gone from the hub, without the handler of `__close__`; see
/// [`close`](Self::close).
///
/// # Examples
///
/// A box that greets its station, and obeys it:
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
/// # struct Hello { version: u32 }
/// # #[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
/// # struct Health { ok: bool }
/// # #[derive(Serialize, Deserialize, wsx::Message)]
/// # struct Cmd { reboot: bool }
/// # wsx::protocol! { Fleet v1 { Edge -> Server: Hello, Health; Server -> Edge: Cmd; } }
/// use wsx::{Client, Connection, SendError, testing::TestPeer};
///
/// #[derive(wsx::Endpoint)]
/// #[wsx(side = Edge)]
/// struct EdgeBox;
///
/// #[wsx::handler("__open__", on = EdgeBox)]
/// async fn on_open(conn: &Connection<Edge>) -> Result<(), SendError> {
///     conn.send(&Hello { version: 3 }).await
/// }
///
/// #[wsx::handler(on = EdgeBox)]
/// fn on_cmd(cmd: Cmd) -> Health {
///     Health { ok: cmd.reboot }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("ws://station/ws").endpoint(EdgeBox).build()?;
/// let mut station = TestPeer::accept(&client).await?;
/// assert_eq!(station.next::<Hello>().await, Hello { version: 3 });
/// let handled = station.deliver(&Cmd { reboot: true }).await?;
/// assert_eq!(handled.reply::<Health>(), Some(Health { ok: true }));
/// # Ok(())
/// # }
/// ```
pub struct TestPeer<E: Endpoint> {
    /// The program under test.
    end: End<E>,
    /// The program's handle of the connection.
    conn: Handle,
    /// The messages that the program has sent, without the replies of `deliver`.
    sent: Arc<Sent>,
    /// The task that takes the messages out of the queue, and ends the session of a closed client.
    taking: AbortHandle,
    /// The message that the test has taken last, which may borrow from it.
    taken: RawFrame<'static>,
}

impl<E: Endpoint> TestPeer<E> {
    /// Connects to a hub, and runs its handler of `__open__`.
    ///
    /// `identity` is an id such as `"box-7"`, or an [`Identity`] with the values that `build_id`
    /// attaches. There is no handshake, so `build_id` itself does not run.
    ///
    /// # Errors
    ///
    /// The error of the handler of `__open__`.
    ///
    /// # Panics
    ///
    /// Panics if the hub rejects the connection, as it does after a shutdown. Panics outside of a
    /// tokio runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wsx::{Connection, Hub, Identity, testing::TestPeer};
    /// #[derive(Clone, PartialEq, Debug)]
    /// struct Admin;
    ///
    /// #[derive(wsx::Endpoint)]
    /// struct Station;
    ///
    /// #[wsx::handler("__open__", on = Station)]
    /// fn on_open(conn: &Connection) {
    ///     assert_eq!(conn.extension(), Some(Admin));
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let hub = Hub::builder().endpoint(Station).build()?;
    /// let _peer = TestPeer::connect(&hub, Identity::new("console").with(Admin)).await?;
    /// assert!(hub.is_connected("console"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(hub: &Hub<E>, identity: impl Into<Identity>) -> Result<Self, HandlerError> {
        let conn = establish::without_handshake(hub, identity.into());
        let conn = conn.unwrap_or_else(|rejection| panic!("the hub rejected the peer: {rejection:?}"));
        Self::open(End::Hub(hub.clone()), conn).await
    }

    /// Becomes the server of a client, which is then connected, and runs its handler of `__open__`.
    /// A client that the program closes ends at once.
    ///
    /// # Errors
    ///
    /// The error of the handler of `__open__`.
    ///
    /// # Panics
    ///
    /// Panics if the client is connected or dials, was closed, or cannot make its URL. Panics
    /// outside of a tokio runtime.
    pub async fn accept(client: &Client<E>) -> Result<Self, HandlerError> {
        let conn = client.attach().await.unwrap_or_else(|error| panic!("the client cannot connect: {error}"));
        Self::open(End::Client(client.clone()), conn).await
    }

    /// Delivers a message or an envelope to its handler, and waits until that has returned.
    ///
    /// A message without a handler is not an error; [`Handled::is_ignored`] says so.
    ///
    /// # Errors
    ///
    /// - [`HandlerError::Decode`]: the data does not fit the type that the handler takes.
    /// - [`HandlerError::Handler`], [`HandlerError::Refused`]: the handler returned this.
    /// - [`HandlerError::Argument`]: an argument of the handler is not available.
    /// - [`HandlerError::Reply`]: the reply cannot be written as JSON.
    ///
    /// # Panics
    ///
    /// Panics if the message cannot be written as JSON, or if the program has closed the
    /// connection. After that, real messages are dropped.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if this future is dropped, the handler is dropped at its `.await`.
    #[track_caller]
    pub fn deliver<M>(&mut self, message: &M) -> BoxFuture<'_, Result<Handled, HandlerError>>
    where
        M: Outbound + ?Sized,
        E::Side: Receives<M, E::Peer>,
    {
        let (frame, number) =
            self.written(message).unwrap_or_else(|error| panic!("the message cannot be sent: {error}"));
        // Boxed, so that its type does not name the message.
        Box::pin(async move { self.deliver_frame(frame, number).await })
    }

    /// As [`deliver`](Self::deliver), for any text or bytes, such as a message that is not an
    /// envelope, or the reply to a request of the program.
    ///
    /// # Errors
    ///
    /// As [`deliver`](Self::deliver).
    ///
    /// # Panics
    ///
    /// Panics if the program has closed the connection.
    ///
    /// # Cancel safety
    ///
    /// As [`deliver`](Self::deliver).
    pub async fn deliver_raw(&mut self, frame: RawFrame<'_>) -> Result<Handled, HandlerError> {
        self.deliver_frame(frame, None).await
    }

    /// Answers each later request `M` as a handler does, or with a [`Failure`](super::Failure).
    ///
    /// ```
    /// # use wsx::{Hub, testing::TestPeer};
    /// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
    /// # struct Reboot { delay_s: u32 }
    /// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
    /// # struct Rebooted { uptime_s: u64 }
    /// # #[derive(wsx::Endpoint)]
    /// # struct Station;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let hub = Hub::builder().endpoint(Station).without_handlers().build()?;
    /// let peer = TestPeer::connect(&hub, "box-7").await?;
    /// peer.answer(|_: Reboot| Rebooted { uptime_s: 60 });
    /// let done: Rebooted = hub.request_as("box-7", &Reboot { delay_s: 5 }).await?;
    /// assert_eq!(done.uptime_s, 60);
    /// # Ok(())
    /// # }
    /// ```
    pub fn answer<M, R>(&self, answer: impl Fn(M) -> R + Send + Sync + 'static)
    where
        M: Message + DeserializeOwned,
        R: IntoReply,
    {
        self.sent.answers.set(answer);
    }

    /// Waits for the next message that the program sends to this peer, and returns it. Replies of
    /// [`deliver`](Self::deliver) are not among them.
    ///
    /// # Panics
    ///
    /// Panics if the next message is not an `M`; the text says what it is. Panics if the program
    /// closes the connection instead.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a message is taken only when it is returned.
    #[track_caller]
    pub fn next<'p, M: Message + Deserialize<'p>>(&'p mut self) -> impl Future<Output = M> {
        let caller = Location::caller();
        async move {
            self.taken = self.next_raw().await;
            decode("the next message", &self.taken).unwrap_or_else(|why| panic!("{caller}: {why}"))
        }
    }

    /// Returns the next message that the program has sent to this peer, if there is one.
    ///
    /// # Panics
    ///
    /// As [`next`](Self::next).
    #[track_caller]
    pub fn try_next<'p, M: Message + Deserialize<'p>>(&'p mut self) -> Option<M> {
        self.sent.take(&self.conn);
        self.taken = self.sent.messages().pop_front()?;
        Some(decode("the next message", &self.taken).unwrap_or_else(|why| panic!("{why}")))
    }

    /// Waits for the next message that the program sends to this peer, and returns it unchanged.
    ///
    /// # Panics
    ///
    /// Panics if the program closes the connection instead.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a message is taken only when it is returned.
    pub async fn next_raw(&mut self) -> RawFrame<'static> {
        let Self { conn, sent, .. } = self;
        let next = async {
            loop {
                sent.take(conn);
                if let Some(message) = sent.messages().pop_front() {
                    return message;
                }
                assert!(!conn.is_closed(), "there is no next message: the connection is closed");
                sent.changed.notified().await;
            }
        };
        timeout(LIMIT, next).await.unwrap_or_else(|_| panic!("there is no next message, after an hour"))
    }

    /// Returns how the program has closed this connection, if it has.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.conn.closed_by_us()
    }

    /// Ends the connection, and runs the program's handler of `__close__`.
    /// With [`CloseCode::ABNORMAL`], the handler sees a link that broke. With any other code, it
    /// sees a close of this peer. If the program has closed the connection, it sees that instead.
    ///
    /// # Errors
    ///
    /// The error of the handler of `__close__`.
    pub async fn close(self, code: CloseCode) -> Result<(), HandlerError> {
        let by = if code == CloseCode::ABNORMAL { ClosedBy::Link } else { ClosedBy::Peer };
        let closed = self.closed().unwrap_or_else(|| Closed::new(code, "", by));
        self.end.leave(&self.conn, &closed);
        self.sent.kept.detach(&self.conn);
        self.conn.shut();
        self.conn.end_requests(&closed, Writes::Over);
        let handled = self.run(&Incoming::close(&closed), None).await;
        self.end.scope().program.observer.connection_closed(Connection::of(&self.conn), &closed);
        self.conn.set_closed(closed);
        handled.map(|_| ())
    }
}

impl<E: Endpoint> Drop for TestPeer<E> {
    fn drop(&mut self) {
        self.taking.abort();
        let dropped = || Closed::new(CloseCode::ABNORMAL, "the test dropped its peer", ClosedBy::Link);
        let closed = self.closed().unwrap_or_else(dropped);
        self.end.leave(&self.conn, &closed);
        self.sent.kept.detach(&self.conn);
        task::end_unfinished(&self.conn, closed);
        self.end.detach();
    }
}

impl<E: Endpoint> fmt::Debug for TestPeer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestPeer").field("conn", &self.conn).field("sent", &self.sent).finish_non_exhaustive()
    }
}
