//! A bad link between two programs: a TCP proxy that delays, limits the rate, delivers single
//! bytes, pauses, or resets connections.
//!
//! The proxy works above TCP, so it loses nothing by itself. Packet loss needs a network of its
//! own; `tests/scripts/weak_networks.sh` makes one.
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use socket2::SockRef;
use std::{
    io,
    net::SocketAddr,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::{JoinSet, yield_now},
    time::{Instant, sleep_until},
};

/// Maximum number of pieces on their way in one direction, so that a slow reader slows down the
/// sender.
const PIECES: usize = 64;
/// Maximum size of a piece in bytes: the payload of one Ethernet packet.
const PIECE: usize = 1460;

/// What a link does to the bytes that it carries. The default is a good link.
#[derive(Debug, Clone)]
pub struct Weakness {
    /// Delay of each piece, chosen at random. Pieces stay in order, as in TCP.
    pub delay: Range<Duration>,
    /// Bytes per second, in each direction.
    pub rate: Option<u32>,
    /// Whether each byte arrives by itself.
    pub byte_by_byte: bool,
    /// After how many bytes each connection is reset, as [`WeakLink::cut`] does. The reset may fall
    /// anywhere, also inside a frame.
    pub cut_after: Option<Range<u64>>,
}

impl Default for Weakness {
    fn default() -> Self {
        Self { delay: Duration::ZERO..Duration::ZERO, rate: None, byte_by_byte: false, cut_after: None }
    }
}

/// A proxy at an address of its own. Dropping it drops its connections.
#[derive(Debug)]
pub struct WeakLink {
    /// `127.0.0.1` and the port. It replaces the address of the far end.
    pub address: String,
    silent: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    _running: JoinSet<()>,
}

impl WeakLink {
    /// Forwards connections to this address.
    ///
    /// # Panics
    ///
    /// When `to` is not an address, when no port is free, or outside a tokio runtime.
    pub fn start(to: &str, weakness: Weakness) -> Self {
        let to = to.parse().expect("an address and a port");
        let socket = small_socket().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let listener = socket.listen(128).expect("a bound socket can listen");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let (silent, cuts) = (watch::Sender::new(false), watch::Sender::new(0));
        let (silence, cut) = (silent.subscribe(), cuts.subscribe());
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            for seed in 0.. {
                let Ok((near, _)) = listener.accept().await else { break };
                let random = SmallRng::seed_from_u64(seed);
                let forwarder =
                    Forwarder { weakness: weakness.clone(), silence: silence.clone(), cut: cut.clone(), random };
                connections.spawn(forwarder.run(near, to));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, silent, cuts, _running: running }
    }

    /// Returns the URL of this link for a URL of the far end.
    ///
    /// # Panics
    ///
    /// When `direct` is not a `ws` URL with an address and a path.
    #[must_use]
    pub fn url(&self, direct: &str) -> String {
        let (_, path) = direct.strip_prefix("ws://").and_then(|rest| rest.split_once('/')).expect("a ws URL");
        format!("ws://{}/{path}", self.address)
    }

    /// From now on nothing arrives, in either direction, and neither end gets an error: a pulled
    /// cable.
    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    /// Ends the silence. Bytes that were on their way arrive.
    pub fn heal(&self) {
        self.silent.send_replace(false);
    }

    /// Resets every connection at both ends, including those that wait for the end of a silence.
    /// Bytes that were on their way are lost.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// One connection.
struct Forwarder {
    weakness: Weakness,
    silence: watch::Receiver<bool>,
    cut: watch::Receiver<u64>,
    random: SmallRng,
}

impl Forwarder {
    async fn run(mut self, mut near: TcpStream, to: SocketAddr) {
        self.cut.mark_unchanged();
        // A program that connects to a silent link waits; it gets neither an answer nor an error.
        let dialling = async {
            end_of_silence(&mut self.silence).await?;
            small_socket()?.connect(to).await
        };
        let dialled = tokio::select! {
            dialled = dialling => dialled,
            _ = self.cut.changed() => return,
        };
        let Ok(mut far) = dialled else { return };
        if near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).is_err() {
            return;
        }
        let budget = self.weakness.cut_after.clone().map_or(u64::MAX, |bytes| self.random.random_range(bytes));
        let left = AtomicU64::new(budget);
        let result = {
            let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
            let (silence, weakness) = (self.silence.clone(), &self.weakness);
            let pump =
                |seed| Pump { weakness, silence: silence.clone(), left: &left, random: SmallRng::seed_from_u64(seed) };
            let (up, down) = (pump(self.random.random()), pump(self.random.random()));
            tokio::select! {
                result = async { tokio::try_join!(up.run(near_in, far_out), down.run(far_in, near_out)) } => result.map(drop),
                _ = self.cut.changed() => Err(io::ErrorKind::ConnectionReset.into()),
            }
        };
        if result.is_err() {
            // Closing the socket now sends a reset instead of a FIN.
            for end in [&near, &far] {
                let _ = SockRef::from(end).set_linger(Some(Duration::ZERO));
            }
        }
    }
}

/// One direction of a connection.
struct Pump<'c> {
    weakness: &'c Weakness,
    silence: watch::Receiver<bool>,
    /// Bytes until the reset, for both directions together.
    left: &'c AtomicU64,
    random: SmallRng,
}

impl Pump<'_> {
    /// Runs until FIN has passed through. Returns an error when an end or the link breaks.
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
        let (weakness, mut random) = (self.weakness, self.random.clone());
        let reading = async move {
            let mut buffer = [0; PIECE];
            // When the line is free again, and when the last piece arrives.
            let (mut free, mut last) = (Instant::now(), Instant::now());
            loop {
                let n = from.read(&mut buffer).await?;
                let now = Instant::now();
                free = free.max(now);
                if let Some(rate) = weakness.rate {
                    free += Duration::from_secs_f64(n as f64 / f64::from(rate));
                }
                let delay = if weakness.delay.is_empty() {
                    weakness.delay.start
                } else {
                    random.random_range(weakness.delay.clone())
                };
                last = last.max(free + delay);
                // If the writing half has stopped, it has returned its own error.
                if sender.send((last, buffer[..n].to_vec())).await.is_err() || n == 0 {
                    return Ok(());
                }
            }
        };
        let writing = async move {
            while let Some((due, bytes)) = pieces.recv().await {
                sleep_until(due).await;
                if bytes.is_empty() {
                    end_of_silence(&mut self.silence).await?;
                    return to.shutdown().await;
                }
                for piece in bytes.chunks(if weakness.byte_by_byte { 1 } else { PIECE }) {
                    end_of_silence(&mut self.silence).await?;
                    self.write_piece(piece, &mut to).await?;
                }
            }
            Ok(())
        };
        tokio::try_join!(reading, writing).map(drop)
    }

    async fn write_piece(&self, piece: &[u8], to: &mut WriteHalf<'_>) -> io::Result<()> {
        let before = self.left.load(Ordering::Relaxed);
        let now = before.min(piece.len() as u64);
        self.left.store(before - now, Ordering::Relaxed);
        to.write_all(&piece[..usize::try_from(now).expect("at most the length of a piece")]).await?;
        if now < piece.len() as u64 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.weakness.byte_by_byte {
            // Lets the reader run, so that it does not find many bytes at once.
            yield_now().await;
        }
        Ok(())
    }
}

/// A socket with packets of Ethernet's size and a small receive buffer. Between programs of one
/// machine a packet has 64 KiB, and the kernel buffers megabytes. With this socket an end that
/// writes more than the link carries is slowed down at once, and its writes are partial.
fn small_socket() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(8 * 1024)?;
    SockRef::from(&socket).set_tcp_mss(PIECE as u32)?;
    Ok(socket)
}

/// Waits for the end of a silence. Returns an error when the link is dropped.
async fn end_of_silence(silence: &mut watch::Receiver<bool>) -> io::Result<()> {
    silence.wait_for(|silent| !silent).await.map(drop).map_err(|_| io::ErrorKind::BrokenPipe.into())
}
