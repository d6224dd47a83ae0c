//! The server's registry of connections: who is there, and sending to one or to all.
//!
//! Knows no sockets and no HTTP; `server` gives a hub its doors.
use crate::{
    config::Config,
    connection::closed::CLOSE_REPLACED,
    connection::queue::Refused,
    connection::sending::Sending,
    connection::{BoxFuture, Connection},
    envelope::SentBy,
    error::SendError,
    observer::Observer,
    protocol::endpoint::{Endpoint, Untyped},
    server::admission::Admission,
    wire::frame::Frame,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    any::Any,
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::yield_now, time::timeout};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Locks that connections coming and going spread over.
const SHARDS: usize = 16;
/// A shutdown closes so many connections, then other work has a turn. Each wakes a task that writes what is queued: all at
/// once, they would keep a runtime of one thread from everything else; by many at a time, tokio's local queues overflow,
/// and what has moved to the shared one waits for them. So few cost no time in all.
const CLOSING: usize = 8;
/// How long a shutdown waits for its doors: half-done handshakes are refused at once, and refusing takes a second.
const DOORS: Duration = Duration::from_secs(2);
/// How long the connections that a deadline has cut off have to tell their program so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The server's registry of connections, with the endpoint whose handlers run on them. Cheap to clone.
///
/// See [`Hub::new`] for the plain form and [`Hub::with`] for an endpoint with state.
pub struct Hub<E = Untyped>(Arc<Inner<E>>);

struct Inner<E> {
    parts: Parts<E>,
    /// Seeded, since peers choose their ids.
    hash: RandomState,
    shards: [Mutex<HashMap<Arc<str>, Connection>>; SHARDS],
    ignored: AtomicU64,
    /// Every connection's task, its end included.
    tasks: TaskTracker,
    /// Listeners, and handshakes that are half done.
    doors: TaskTracker,
    /// Triggered by the beginning of a shutdown: no more connections.
    stop: CancellationToken,
    /// Triggered by the end of a shutdown: no more patience.
    kill: CancellationToken,
}

/// What a hub is built from.
pub(crate) struct Parts<E> {
    pub(crate) endpoint: E,
    pub(crate) config: Config,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) admission: Arc<Admission>,
    /// The table of handlers. They take the hub, so the table's type stands above this module: whoever builds the
    /// hub puts it in, and takes it out again once for each door.
    pub(crate) router: Arc<dyn Any + Send + Sync>,
}

impl<E: Endpoint> Hub<E> {
    pub(crate) fn from_parts(parts: Parts<E>) -> Self {
        Self(Arc::new(Inner {
            parts,
            hash: RandomState::new(),
            shards: Default::default(),
            ignored: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            doors: TaskTracker::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        }))
    }

    /// The endpoint's value: the state that the handlers see.
    #[must_use]
    pub fn endpoint(&self) -> &E {
        &self.0.parts.endpoint
    }

    /// Queues a message or an envelope for one connection, waiting for room in its queue.
    ///
    /// # Errors
    ///
    /// [`SendError::NoSuchConnection`] when nobody of this id is here, [`SendError::Closed`] when that connection ends
    /// meanwhile, [`SendError::Encode`] when the message is no JSON.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the message is not sent; see [`Sending`].
    pub fn send_to<M: SentBy<E::Side, E::Peer> + ?Sized>(&self, id: &str, message: &M) -> Sending<'static> {
        let conn = self.get(id).ok_or_else(|| SendError::NoSuchConnection(id.to_owned()));
        Sending::on_owned(conn, message.encode(Role::Server).map(Frame::into_bytes))
    }

    /// Queues a message or an envelope once for every connection, and returns how many accepted it.
    ///
    /// Encoded once. Those with room get it at once; then the full ones are waited for, all at the same time, each
    /// until it has room or its write timeout ends it.
    ///
    /// # Errors
    ///
    /// [`SendError::Encode`] when the message is no JSON; nobody has got it then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its first poll, nobody gets the message. Dropped after that, those that were full may not get it; all
    /// others have.
    pub fn broadcast<M: SentBy<E::Side, E::Peer> + ?Sized>(
        &self,
        message: &M,
    ) -> BoxFuture<'_, Result<usize, SendError>> {
        let frame = message.encode(Role::Server).map(Frame::into_bytes);
        // Boxed, so that its type does not name the message: see `sending`.
        Box::pin(async move {
            let frame = frame?;
            let (mut accepted, full) = self.offer(&frame);
            let mut waiting: FuturesUnordered<_> = full.iter().map(|conn| conn.push(frame.clone())).collect();
            while let Some(done) = waiting.next().await {
                accepted += usize::from(done.is_ok());
            }
            Ok(accepted)
        })
    }

    /// Gives the frame to all that have room; returns their number, and the others.
    fn offer(&self, frame: &Bytes) -> (usize, Vec<Connection>) {
        let (mut accepted, mut full) = (0, Vec::new());
        for shard in &self.0.shards {
            for conn in lock(shard).values() {
                match conn.try_push(frame.clone()) {
                    Ok(()) => accepted += 1,
                    Err(Refused::Full) => full.push(conn.clone()),
                    Err(Refused::Closed) => {}
                }
            }
        }
        (accepted, full)
    }

    /// The connection of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Connection> {
        self.shard(id).get(id).cloned()
    }

    /// The ids of all connections, in no order.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.0
            .shards
            .iter()
            .flat_map(|shard| lock(shard).keys().map(|id| (**id).to_owned()).collect::<Vec<_>>())
            .collect()
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages nobody handled since the start: unknown types, and raw frames without a `__raw__` handler.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.0.ignored.load(Ordering::Relaxed)
    }

    /// Ends the hub: nobody comes in any more, what is queued leaves, every connection closes with 1001, and handlers in
    /// flight, `__close__` handlers and observers are waited for. Returns how many connections were cut off because they
    /// had not ended by `deadline`.
    ///
    /// `WsHandler::listen` stops accepting and returns. Who comes later through another door, or is half-way through a
    /// handshake, `build_id` included, is told 503. Connections close in batches, so that other work goes on beside them.
    /// What the peers sent before they learned of it is still handled; sends fail with [`SendError::Closed`] from the
    /// beginning on. What a handler returns that began before leaves in front of 1001, which waits for it for a quarter of
    /// [`Config::close_timeout`]; what later handlers return is dropped.
    ///
    /// At the deadline those that are left are cut off: what their sockets take at once leaves, the close frame included,
    /// and they have a second at most for their `__close__` handlers. A deadline of zero does that at once. One of 10 s,
    /// the default of [`Config::close_timeout`], leaves honest peers all the time that they have anyway: a connection that
    /// passes its `close_timeout` is dropped before, and not counted.
    ///
    /// Called again, or by several, every call waits for the end, and the earliest deadline holds. A handler of this hub
    /// that awaits it waits for itself, and so until the deadline: let a task of its own call it.
    ///
    /// # Cancel safety
    ///
    /// Dropped once it has begun, the shutdown goes on, its deadline included.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # use std::time::Duration;
    /// let hub = wsx::Hub::new();
    /// let door = hub.ws_handler(wsx::unique_id, |_| {});
    /// let listening = tokio::spawn(door.listen(tokio::net::TcpListener::bind("127.0.0.1:9001").await?));
    /// # async fn asked_to_stop() {}
    /// asked_to_stop().await;
    /// let cut_off = hub.shutdown(Duration::from_secs(10)).await;
    /// // The listener goes until the hub has ended, and so answers those who come meanwhile.
    /// listening.await?;
    /// println!("{cut_off} connections were cut off");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self, deadline: Duration) -> usize {
        self.0.stop.cancel();
        // In a task of its own: nobody stays unclosed, and no deadline unkept, when this future is dropped.
        let hub = self.clone();
        let ending = tokio::spawn(async move { hub.end(deadline).await });
        // It has no way to fail but the end of its runtime.
        ending.await.unwrap_or_else(|_| self.0.tasks.len())
    }

    async fn end(&self, deadline: Duration) -> usize {
        let Inner { tasks, doors, kill, .. } = &*self.0;
        tasks.close();
        doors.close();
        let honest = async {
            for batch in self.connections().chunks(CLOSING) {
                batch.iter().for_each(close);
                yield_now().await;
            }
            // One that somebody holds without polling it must not hold up the rest.
            let _ = timeout(DOORS, doors.wait()).await;
            tasks.wait().await;
        };
        if timeout(deadline, honest).await.is_ok() {
            return 0;
        }
        let late = tasks.len();
        kill.cancel();
        // Those that the deadline was too short for.
        self.connections().iter().for_each(close);
        let _ = timeout(LAST_WORDS, tasks.wait()).await;
        late
    }

    fn connections(&self) -> Vec<Connection> {
        self.0.shards.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Enters a connection of this id into the registry; the one that had the id closes with 4000, as an edge box
    /// comes back before the server has noticed that its old link is dead. None after the beginning of a shutdown.
    pub(crate) fn open(&self, id: Arc<str>) -> Option<Connection> {
        let conn = Connection::unopened(id.clone(), Role::Server, self.config());
        let replaced = {
            // Under the shard's lock, so that a shutdown either sees this connection or is seen by it.
            let mut shard = self.shard(&id);
            if self.0.stop.is_cancelled() {
                return None;
            }
            shard.insert(id, conn.clone())
        };
        if let Some(old) = replaced {
            old.close_with(CLOSE_REPLACED.into(), "this id has connected again");
        }
        Some(conn)
    }

    /// Takes this very connection out, never one that has replaced it.
    pub(crate) fn forget(&self, conn: &Connection) {
        let mut shard = self.shard(conn.id());
        if shard.get(conn.id()).is_some_and(|entry| entry.is(conn)) {
            shard.remove(conn.id());
            // A wave of connections that has gone leaves no room behind.
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.parts.config
    }

    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.0.parts.admission
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.0.parts.observer
    }

    pub(crate) fn router(&self) -> Arc<dyn Any + Send + Sync> {
        self.0.parts.router.clone()
    }

    pub(crate) fn ignored_counter(&self) -> &AtomicU64 {
        &self.0.ignored
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    pub(crate) fn doors(&self) -> &TaskTracker {
        &self.0.doors
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    pub(crate) fn kill(&self) -> &CancellationToken {
        &self.0.kill
    }

    fn shard(&self, id: &str) -> MutexGuard<'_, HashMap<Arc<str>, Connection>> {
        // No truncation that matters: any bits of the hash will do.
        lock(&self.0.shards[self.0.hash.hash_one(id) as usize % SHARDS])
    }
}

fn close(conn: &Connection) {
    conn.close_draining(1001, "the server is going away");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code of the user's runs under this lock")
}

impl<E> Clone for Hub<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Endpoint> fmt::Debug for Hub<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("endpoint", &E::NAME).field("connections", &self.len()).finish_non_exhaustive()
    }
}
