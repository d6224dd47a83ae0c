//! A link between two programs that behaves badly on purpose: a TCP proxy that is late, slow, gives byte by byte, falls
//! silent, or cuts.
//!
//! It stands above TCP, so it loses nothing by itself; loss of packets takes a network of its own, as
//! `tests/scripts/weak_networks.sh` makes one.
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

/// Pieces that are on their way in one direction at most, so that a slow end is felt by the other.
const PIECES: usize = 64;
/// Bytes of a piece at most: what a packet of Ethernet carries.
const PIECE: usize = 1460;

/// What a link does to the bytes that it carries. The default is a good link.
#[derive(Debug, Clone)]
pub struct Weakness {
    /// How late they arrive, chosen for each piece; nothing overtakes, as in TCP.
    pub delay: Range<Duration>,
    /// Bytes in a second, in each direction.
    pub rate: Option<u32>,
    /// Whether each byte arrives by itself.
    pub byte_by_byte: bool,
    /// Each connection is cut, as [`WeakLink::cut`] does, once it has carried so many bytes, in the middle of whatever they
    /// are.
    pub cut_after: Option<Range<u64>>,
}

impl Default for Weakness {
    fn default() -> Self {
        Self { delay: Duration::ZERO..Duration::ZERO, rate: None, byte_by_byte: false, cut_after: None }
    }
}

/// A proxy at an address of its own. Dropped, it takes its connections along.
#[derive(Debug)]
pub struct WeakLink {
    /// `127.0.0.1` and the port, in place of the address of the far end.
    pub address: String,
    silent: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    _running: JoinSet<()>,
}

impl WeakLink {
    /// Carries connections to this address.
    ///
    /// # Panics
    ///
    /// When that is none, without a free port, or outside of a tokio runtime.
    pub fn start(to: &str, weakness: Weakness) -> Self {
        let to = to.parse().expect("an address and a port");
        let socket = narrow().expect("a socket");
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
                let carrying =
                    Carrying { weakness: weakness.clone(), silence: silence.clone(), cut: cut.clone(), random };
                connections.spawn(carrying.run(near, to));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, silent, cuts, _running: running }
    }

    /// The URL of this link in place of one that names the far end.
    ///
    /// # Panics
    ///
    /// When that is no `ws` URL with an address and a path.
    #[must_use]
    pub fn url(&self, direct: &str) -> String {
        let (_, path) = direct.strip_prefix("ws://").and_then(|rest| rest.split_once('/')).expect("a ws URL");
        format!("ws://{}/{path}", self.address)
    }

    /// From now on nothing arrives, in either direction, and nobody is told: a cable that was pulled.
    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    /// Ends the silence: what was on its way arrives.
    pub fn heal(&self) {
        self.silent.send_replace(false);
    }

    /// Resets every connection at both ends, those that wait for the end of a silence too; what was on its way is lost.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// One connection.
struct Carrying {
    weakness: Weakness,
    silence: watch::Receiver<bool>,
    cut: watch::Receiver<u64>,
    random: SmallRng,
}

impl Carrying {
    async fn run(mut self, mut near: TcpStream, to: SocketAddr) {
        self.cut.mark_unchanged();
        // Who connects to a link that is silent waits; nobody is there to refuse it.
        let dialling = async {
            heard(&mut self.silence).await?;
            narrow()?.connect(to).await
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
        let ended = {
            let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
            let (silence, weakness) = (self.silence.clone(), &self.weakness);
            let pump =
                |seed| Pump { weakness, silence: silence.clone(), left: &left, random: SmallRng::seed_from_u64(seed) };
            let (up, down) = (pump(self.random.random()), pump(self.random.random()));
            tokio::select! {
                ended = async { tokio::try_join!(up.run(near_in, far_out), down.run(far_in, near_out)) } => ended.map(drop),
                _ = self.cut.changed() => Err(io::ErrorKind::ConnectionReset.into()),
            }
        };
        if ended.is_err() {
            // Closing then sends a reset, and not a FIN.
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
    /// Bytes until the cut, both directions together.
    left: &'c AtomicU64,
    random: SmallRng,
}

impl Pump<'_> {
    /// Until FIN has gone through; an error when an end, or the link, has broken.
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
                // The other half ends by itself if it is not there to take it.
                if sender.send((last, buffer[..n].to_vec())).await.is_err() || n == 0 {
                    return Ok(());
                }
            }
        };
        let writing = async move {
            while let Some((due, bytes)) = pieces.recv().await {
                sleep_until(due).await;
                if bytes.is_empty() {
                    heard(&mut self.silence).await?;
                    return to.shutdown().await;
                }
                for part in bytes.chunks(if weakness.byte_by_byte { 1 } else { PIECE }) {
                    heard(&mut self.silence).await?;
                    self.give(part, &mut to).await?;
                }
            }
            Ok(())
        };
        tokio::try_join!(reading, writing).map(drop)
    }

    async fn give(&self, part: &[u8], to: &mut WriteHalf<'_>) -> io::Result<()> {
        let before = self.left.load(Ordering::Relaxed);
        let now = before.min(part.len() as u64);
        self.left.store(before - now, Ordering::Relaxed);
        to.write_all(&part[..usize::try_from(now).expect("a part of a piece")]).await?;
        if now < part.len() as u64 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.weakness.byte_by_byte {
            // The reader's turn, or it would find many bytes at once.
            yield_now().await;
        }
        Ok(())
    }
}

/// A socket that takes packets of Ethernet's size and holds little of what it receives: between programs of one machine a
/// packet has 64 KiB, and megabytes wait in the system. So an end that writes more than the link carries feels it at once, and
/// writes in parts.
fn narrow() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(8 * 1024)?;
    SockRef::from(&socket).set_tcp_mss(PIECE as u32)?;
    Ok(socket)
}

/// Waits for the end of a silence; an error when the link has gone.
async fn heard(silence: &mut watch::Receiver<bool>) -> io::Result<()> {
    silence.wait_for(|silent| !silent).await.map(drop).map_err(|_| io::ErrorKind::BrokenPipe.into())
}
