//! The places of a hub for handshakes in progress, and which handshake gives way when all places
//! are taken.
//!
//! It knows addresses, phases and ages. It does not know streams: a handshake reports its phase,
//! and ends when it is asked to give way.
use crate::{
    connection::loom_or_std::{Mutex, MutexGuard},
    server::admission::network,
};
use futures_util::FutureExt;
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    pin::pin,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::yield_now,
    time::{Instant, sleep_until},
};

/// A network may hold one place in this many. Above this share, it gives way to other networks.
pub(crate) const SHARE: usize = 4;
/// The longest age up to which a handshake within its share does not have to give way.
///
/// A request arrives one round trip after the connection, and two after it with TLS. A second is
/// enough for a satellite.
const PATIENCE: Duration = Duration::from_secs(1);
/// The patience for each place. So silent connections never keep a hub from taking 1,000 new ones a
/// second, however few its places are. That empties the queue of the operating system, which holds
/// 128 connections by default, in an eighth of a second.
const PATIENCE_PER_PLACE: Duration = Duration::from_millis(1);

/// The places for handshakes in progress.
#[derive(Debug)]
pub(crate) struct Places {
    /// One permit for each free place. The first that waits gets the next one, so two listeners
    /// take turns.
    free: Arc<Semaphore>,
    /// The number of places that a network may hold while others need them.
    share: usize,
    /// A handshake that is younger than this gives way only to a network with less than its share.
    patience: Duration,
    /// The handshakes that have a place.
    crowd: Mutex<Crowd>,
    /// Notified when another handshake may have to give way.
    changed: Notify,
}

/// The handshakes that have a place.
#[derive(Debug, Default)]
struct Crowd {
    /// Each handshake by its number, so the oldest comes first.
    handshakes: BTreeMap<u64, Entry>,
    /// The number of the next handshake.
    next: u64,
    /// How many places each network holds.
    networks: HashMap<IpAddr, usize>,
    /// How many networks hold more than their share.
    heavy: usize,
    /// How many newcomers wait for a place.
    waiting: usize,
    /// How many handshakes were asked to give way and still have their place.
    asked: usize,
}

/// A handshake that has a place.
#[derive(Debug)]
struct Entry {
    /// The network of the peer, if its address is known.
    network: Option<IpAddr>,
    phase: Phase,
    /// The start of the phase.
    since: Instant,
    /// Whether it was asked to give way.
    asked: bool,
    /// Notified when it is asked to give way.
    signal: Arc<Notify>,
}

/// The phase of a handshake. An earlier one gives way first.
///
/// ```text
/// Silent ---> Deciding ---> Accepted
///    \            |
///     +--------> Rejected
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The peer has not sent a complete request.
    Silent,
    /// The peer is receiving the answer of a rejection.
    Rejected,
    /// The program decides about the request. Only a network above its share gives way in this
    /// phase.
    Deciding,
    /// The peer is receiving the answer 101. It does not give way.
    Accepted,
}

/// The place of a handshake. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    signal: Arc<Notify>,
    /// Dropped after `drop` has removed the handshake.
    _permit: OwnedSemaphorePermit,
}

/// The result of asking a handshake to give way.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// A handshake was asked, now or before, and has not answered.
    Pending,
    /// A handshake is old enough at this time.
    Later(Instant),
    /// No handshake has to give way.
    Nobody,
}

impl Places {
    pub(crate) fn new(places: usize) -> Self {
        let patience = PATIENCE_PER_PLACE.saturating_mul(places.try_into().unwrap_or(u32::MAX));
        Self {
            free: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            share: (places / SHARE).max(1),
            patience: patience.min(PATIENCE),
            crowd: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Takes a place. If all are taken, this asks a handshake to give way, and waits.
    pub(crate) async fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Place {
        let network = address.map(network);
        let permit = self.permit(network, true).await.expect("it waits, and the semaphore is never closed");
        self.enter(network, permit)
    }

    /// Takes a place, or returns `None` if all are taken and no handshake has to give way now.
    pub(crate) async fn try_take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let network = address.map(network);
        Some(self.enter(network, self.permit(network, false).await?))
    }

    /// Returns the permit for a place. If no handshake gives way, this waits, or returns `None`
    /// unless `waits`.
    async fn permit(&self, network: Option<IpAddr>, waits: bool) -> Option<OwnedSemaphorePermit> {
        let mut permit = pin!(self.free.clone().acquire_owned());
        if let Some(permit) = permit.as_mut().now_or_never() {
            return permit.ok();
        }
        let _waiting = Waiting::new(self);
        loop {
            let changed = self.changed.notified();
            let asked = self.ask(network);
            let again = async {
                match asked {
                    Asked::Later(time) => sleep_until(time).await,
                    Asked::Pending | Asked::Nobody => std::future::pending().await,
                }
            };
            if asked != Asked::Pending && !waits {
                return None;
            }
            tokio::select! {
                biased;
                permit = &mut permit => return permit.ok(),
                () = changed => {}
                () = again => {}
            }
        }
    }

    /// Asks a handshake to give way to a newcomer of this network.
    fn ask(&self, newcomer: Option<IpAddr>) -> Asked {
        let mut crowd = self.crowd();
        if crowd.asked >= crowd.waiting {
            return Asked::Pending;
        }
        match crowd.find(newcomer, self.share, self.patience, Instant::now()) {
            Ok(number) => {
                crowd.asked += 1;
                let entry = crowd.handshakes.get_mut(&number).expect("found under this lock");
                entry.asked = true;
                entry.signal.notify_one();
                Asked::Pending
            }
            Err(Some(time)) => Asked::Later(time),
            Err(None) => Asked::Nobody,
        }
    }

    /// Adds a handshake that has a permit.
    fn enter(self: &Arc<Self>, network: Option<IpAddr>, permit: OwnedSemaphorePermit) -> Place {
        let signal = Arc::new(Notify::new());
        let mut crowd = self.crowd();
        let number = crowd.next;
        crowd.next += 1;
        let entry =
            Entry { network, phase: Phase::Silent, since: Instant::now(), asked: false, signal: signal.clone() };
        crowd.handshakes.insert(number, entry);
        crowd.add_to(network, self.share);
        drop(crowd);
        Place { places: self.clone(), number, signal, _permit: permit }
    }

    /// Lets newcomers ask again, if there are any.
    fn changed(&self, crowd: MutexGuard<'_, Crowd>) {
        let waiting = crowd.waiting > 0;
        drop(crowd);
        if waiting {
            self.changed.notify_waiters();
        }
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crowd {
    /// Counts one more place for a network.
    fn add_to(&mut self, network: Option<IpAddr>, share: usize) {
        if let Some(network) = network {
            let held = self.networks.entry(network).or_default();
            *held += 1;
            if *held == share + 1 {
                self.heavy += 1;
            }
        }
    }

    /// Counts one place less for a network.
    fn take_from(&mut self, network: Option<IpAddr>, share: usize) {
        if let Some(network) = network {
            let held = self.networks.get_mut(&network).expect("`add_to` counted it");
            *held -= 1;
            let held = *held;
            if held == share {
                self.heavy -= 1;
            }
            if held == 0 {
                self.networks.remove(&network);
            }
        }
    }

    /// Returns the handshake that has to give way to a newcomer of this network. Otherwise it
    /// returns the time at which one has to, if there is one.
    ///
    /// These give way, in this order, and the oldest first:
    ///
    /// 1. an idle handshake of a network above its share;
    /// 2. any idle handshake, unless the newcomer's network has its share while another is above;
    /// 3. a handshake of a network above its share about which the program decides.
    ///
    /// A network above its share gives way at once to a network below its own. All other handshakes
    /// give way when they are older than `patience`. A newcomer without a network is below its
    /// share.
    fn find(
        &self,
        newcomer: Option<IpAddr>,
        share: usize,
        patience: Duration,
        now: Instant,
    ) -> Result<u64, Option<Instant>> {
        let held = |network: Option<IpAddr>| network.and_then(|network| self.networks.get(&network).copied());
        let is_light = held(newcomer).unwrap_or(0) < share;
        let any_is_heavy = self.heavy > 0;
        let (mut best, mut later) = (None, None);
        for (&number, entry) in &self.handshakes {
            let is_heavy = any_is_heavy && held(entry.network).unwrap_or(0) > share;
            let class = match (entry.phase, is_heavy) {
                _ if entry.asked => continue,
                (Phase::Silent | Phase::Rejected, true) => Class::HeavyIdle,
                (Phase::Silent | Phase::Rejected, false) if is_light || !any_is_heavy => Class::Idle,
                (Phase::Deciding, true) => Class::HeavyDeciding,
                _ => continue,
            };
            let due = if is_heavy && is_light { now } else { entry.since + patience };
            let rank = (class, entry.phase);
            if due > now {
                later = Some(later.map_or(due, |later: Instant| later.min(due)));
            } else if best.is_none_or(|(best, _)| rank < best) {
                best = Some((rank, number));
                // No other one comes before the oldest of the first kind.
                if entry.phase == Phase::Silent && (is_heavy || !any_is_heavy) {
                    break;
                }
            }
        }
        best.map(|(_, number)| number).ok_or(later)
    }
}

/// Which handshakes give way before others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Silent or rejected, of a network above its share.
    HeavyIdle,
    /// Silent or rejected, of any other network.
    Idle,
    /// The program decides about it, and its network is above its share.
    HeavyDeciding,
}

impl Place {
    /// Begins a phase. A handshake that was asked to give way stays if its peer has made progress.
    pub(crate) fn begin(&self, phase: Phase) {
        let mut crowd = self.places.crowd();
        let entry = crowd.handshakes.get_mut(&self.number).expect("only `drop` removes it");
        entry.phase = phase;
        entry.since = Instant::now();
        if entry.asked && phase != Phase::Rejected {
            entry.asked = false;
            crowd.asked -= 1;
        }
        self.places.changed(crowd);
    }

    /// Counts the place for another address, which a proxy has named.
    pub(crate) fn belongs_to(&self, address: Option<IpAddr>) {
        let (network, share) = (address.map(network), self.places.share);
        let mut crowd = self.places.crowd();
        let entry = crowd.handshakes.get_mut(&self.number).expect("only `drop` removes it");
        let before = std::mem::replace(&mut entry.network, network);
        crowd.take_from(before, share);
        crowd.add_to(network, share);
        self.places.changed(crowd);
    }

    /// Waits until this handshake has to give way.
    ///
    /// Poll the handshake itself before this. The handshake then reads the input that has already
    /// arrived before it gives way.
    pub(crate) async fn gives_way(&self) {
        loop {
            if self.is_asked() {
                // Here the runtime polls its sockets.
                yield_now().await;
                if self.is_asked() {
                    return;
                }
            }
            self.signal.notified().await;
        }
    }

    fn is_asked(&self) -> bool {
        self.places.crowd().handshakes.get(&self.number).is_some_and(|entry| entry.asked)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut crowd = self.places.crowd();
        let Some(entry) = crowd.handshakes.remove(&self.number) else { return };
        crowd.asked -= usize::from(entry.asked);
        crowd.take_from(entry.network, self.places.share);
    }
}

/// Counts a newcomer that waits for a place, until it is dropped.
struct Waiting<'p>(&'p Places);

impl<'p> Waiting<'p> {
    fn new(places: &'p Places) -> Self {
        places.crowd().waiting += 1;
        Self(places)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.crowd().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, timeout};

    const HERE: &str = "192.0.2.1";
    const THERE: &str = "192.0.2.2";
    const NOBODY: [usize; 0] = [];

    /// Returns places of which each network may hold `places / 4`, with a patience of one second.
    fn places(places: usize) -> Arc<Places> {
        let made = Places::new(places);
        Arc::new(Places { patience: PATIENCE, ..made })
    }

    fn of(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    async fn fill(places: &Arc<Places>, address: &str, count: usize) -> Vec<Place> {
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(timeout(Duration::ZERO, places.take(of(address))).await.expect("a place is free"));
        }
        held
    }

    /// Returns the indices of the handshakes that were asked to give way.
    fn asked(held: &[Place]) -> Vec<usize> {
        (0..held.len()).filter(|&at| held[at].is_asked()).collect()
    }

    /// Asserts that nothing is left of the handshakes.
    fn assert_empty(places: &Places) {
        let crowd = places.crowd();
        assert!(crowd.handshakes.is_empty() && crowd.networks.is_empty());
        assert_eq!((crowd.heavy, crowd.waiting, crowd.asked), (0, 0, 0));
    }

    /// Polls a newcomer once, and returns it.
    fn newcomer<'p>(
        places: &'p Arc<Places>,
        address: &str,
    ) -> std::pin::Pin<Box<dyn Future<Output = Place> + Send + 'p>> {
        let mut taking: std::pin::Pin<Box<dyn Future<Output = Place> + Send>> = Box::pin(places.take(of(address)));
        assert!((&mut taking).now_or_never().is_none(), "all places are taken");
        taking
    }

    /// Row R4: the oldest silent handshake gives way, after its time.
    #[tokio::test(start_paused = true)]
    async fn the_oldest_silent_handshake_gives_way_after_a_second() {
        let places = places(4);
        let mut held = Vec::new();
        for address in [HERE, THERE, "192.0.2.3", "192.0.2.4"] {
            held.extend(fill(&places, address, 1).await);
            advance(Duration::from_millis(100)).await;
        }
        held[0].begin(Phase::Deciding);
        let mut taking = newcomer(&places, "192.0.2.5");
        assert_eq!(asked(&held), NOBODY);
        // The second one is 300 ms old.
        assert!(timeout(Duration::from_millis(690), &mut taking).await.is_err());
        assert_eq!(asked(&held), NOBODY);
        assert!(timeout(Duration::from_millis(20), &mut taking).await.is_err());
        assert_eq!(asked(&held), [1], "one newcomer asks one handshake");
        held[1].gives_way().await;
        held.remove(1);
        taking.await;
    }

    /// Row R4: a handshake that was asked stays if its peer has sent the request.
    #[tokio::test(start_paused = true)]
    async fn a_handshake_whose_request_arrives_does_not_give_way() {
        let places = places(2);
        let (first, second) = (places.take(of(HERE)).await, places.take(of(THERE)).await);
        advance(PATIENCE).await;
        let mut taking = newcomer(&places, "192.0.2.3");
        assert!(first.is_asked() && !second.is_asked());
        first.begin(Phase::Deciding);
        assert!(first.gives_way().now_or_never().is_none());
        assert!((&mut taking).now_or_never().is_none());
        assert!(!first.is_asked() && second.is_asked(), "the next one is asked");
        second.begin(Phase::Deciding);
        assert!((&mut taking).now_or_never().is_none());
        assert!(timeout(10 * PATIENCE, &mut taking).await.is_err(), "the program decides about both");
        drop(second);
        taking.await;
    }

    /// Row R4: one address has a share, and other addresses do not wait for it.
    #[tokio::test(start_paused = true)]
    async fn a_network_above_its_share_gives_way_to_others_at_once() {
        let places = places(8);
        let others = fill(&places, THERE, 1).await;
        let mut held = fill(&places, HERE, 7).await;
        held[0].begin(Phase::Deciding);
        held[3].begin(Phase::Rejected);
        // The newcomer of another network pushes out silent handshakes, then rejected ones, then
        // those about which the program decides.
        let order = [1, 2, 4, 5, 6];
        let mut taken = Vec::new();
        for (number, at) in order.into_iter().enumerate() {
            let taking = newcomer(&places, &format!("192.0.2.{}", number + 10));
            assert_eq!(asked(&held), [at - number], "number {number}");
            held.remove(at - number);
            taken.push(taking.await);
        }
        // Only its share of two is left.
        let _waiting = newcomer(&places, "192.0.2.30");
        assert_eq!(asked(&held), NOBODY);
        assert_eq!(asked(&others), NOBODY);
    }

    /// Row R4: the share also holds for requests about which the program decides.
    #[tokio::test(start_paused = true)]
    async fn decisions_above_the_share_give_way_to_other_networks() {
        let places = places(4);
        let held = fill(&places, HERE, 4).await;
        held.iter().for_each(|place| place.begin(Phase::Deciding));
        let same = newcomer(&places, HERE);
        assert_eq!(asked(&held), NOBODY, "a second of patience for its own network");
        let _other = newcomer(&places, THERE);
        assert_eq!(asked(&held), [0]);
        drop(same);
    }

    /// Row R4: a network that has its share cannot push out others.
    #[tokio::test(start_paused = true)]
    async fn a_flood_pushes_out_only_its_own() {
        let places = places(8);
        let others = fill(&places, THERE, 2).await;
        advance(PATIENCE / 2).await;
        let mut flood = fill(&places, HERE, 6).await;
        advance(PATIENCE / 2).await;
        for _ in 0..20 {
            let mut taking = newcomer(&places, HERE);
            assert!(timeout(PATIENCE, &mut taking).await.is_err());
            assert_eq!((asked(&others), asked(&flood)), (vec![], vec![0]));
            flood.remove(0);
            flood.push(taking.await);
        }
    }

    /// Rows N1, R4: a place that was taken for a proxy belongs to its peer when the proxy names it.
    #[tokio::test(start_paused = true)]
    async fn the_peers_of_a_proxy_have_their_own_shares() {
        let places = places(8);
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(places.take(None).await);
        }
        let of_a_proxy: std::pin::Pin<Box<dyn Future<Output = Place> + Send>> = Box::pin(places.take(None));
        let mut of_a_proxy = of_a_proxy;
        assert!((&mut of_a_proxy).now_or_never().is_none());
        assert_eq!(asked(&held), NOBODY, "the proxy is not above a share");
        for place in &held[2..6] {
            place.belongs_to(of(HERE));
            place.begin(Phase::Deciding);
        }
        assert!((&mut of_a_proxy).now_or_never().is_none());
        assert_eq!(asked(&held), [2], "a peer above its share gives way to the other peers of the proxy");
        held.clear();
        of_a_proxy.await;
        let crowd = places.crowd();
        assert!(crowd.networks.is_empty() && crowd.heavy == 0);
    }

    /// Row R4: a newcomer within its share does not need a network above its own.
    #[tokio::test(start_paused = true)]
    async fn while_each_network_has_its_share_the_oldest_gives_way_to_any() {
        let places = places(4);
        let mut held = fill(&places, HERE, 1).await;
        for address in [THERE, "192.0.2.3", "192.0.2.4"] {
            held.extend(fill(&places, address, 1).await);
        }
        advance(PATIENCE).await;
        let _waiting = newcomer(&places, HERE);
        assert_eq!(asked(&held), [0]);
    }

    /// Row R4: a network above its share gives way before an older handshake of another one.
    #[tokio::test(start_paused = true)]
    async fn the_age_counts_only_among_networks_above_their_share() {
        let places = places(8);
        let others = fill(&places, THERE, 1).await;
        let held = fill(&places, HERE, 7).await;
        advance(PATIENCE).await;
        let _waiting = newcomer(&places, "192.0.2.3");
        assert_eq!((asked(&others), asked(&held)), (vec![], vec![0]));
    }

    /// Row R4: a network that has given its surplus back is as good as any other.
    #[tokio::test(start_paused = true)]
    async fn a_network_is_above_its_share_only_as_long_as_it_holds_more() {
        let places = places(4);
        let mut others = fill(&places, THERE, 1).await;
        others.extend(fill(&places, "192.0.2.3", 1).await);
        let mut held = fill(&places, HERE, 2).await;
        held.pop();
        let _fourth = fill(&places, "192.0.2.4", 1).await;
        advance(PATIENCE).await;
        let _waiting = newcomer(&places, HERE);
        assert_eq!((asked(&others), asked(&held)), (vec![0], vec![]));
        assert_eq!(places.crowd().heavy, 0);
    }

    /// Row R4: a handshake gives its place to one newcomer.
    #[tokio::test(start_paused = true)]
    async fn each_newcomer_asks_another_handshake() {
        let places = places(4);
        let mut held = Vec::new();
        for address in [HERE, THERE, "192.0.2.3", "192.0.2.4"] {
            held.extend(fill(&places, address, 1).await);
        }
        advance(PATIENCE).await;
        let first = newcomer(&places, "192.0.2.5");
        assert_eq!(asked(&held), [0]);
        let second = newcomer(&places, "192.0.2.6");
        assert_eq!(asked(&held), [0, 1]);
        drop((first, second));
        let _third = newcomer(&places, "192.0.2.7");
        assert_eq!(asked(&held), [0, 1], "two of them have not answered");
    }

    /// Row R4: a network that has its share waits for a network above its own.
    #[tokio::test(start_paused = true)]
    async fn a_network_that_has_its_share_gets_another_place_only_after_a_second() {
        let places = places(8);
        let others = fill(&places, HERE, 2).await;
        let held = fill(&places, THERE, 6).await;
        let mut taking = newcomer(&places, HERE);
        assert!(timeout(PATIENCE - Duration::from_millis(1), &mut taking).await.is_err());
        assert_eq!((asked(&others), asked(&held)), (vec![], vec![]));
        assert!(timeout(Duration::from_millis(2), &mut taking).await.is_err());
        assert_eq!((asked(&others), asked(&held)), (vec![], vec![0]));
    }

    /// Row R4: a stream for which the program does not wait gets a place only if one gives way now.
    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_not_waited_for_is_taken_or_not() {
        let places = places(1);
        let first = places.try_take(None).await.expect("a place is free");
        assert!(places.try_take(of(HERE)).await.is_none());
        advance(PATIENCE).await;
        let second = tokio::join!(places.try_take(of(HERE)), async {
            first.gives_way().await;
            drop(first);
        });
        let second = second.0.expect("the first one gave way");
        second.begin(Phase::Accepted);
        advance(PATIENCE).await;
        assert!(places.try_take(of(HERE)).await.is_none(), "its answer is on the way");
        drop(second);
        assert_empty(&places);
    }

    /// Row R4: a hub with few places has little patience, so they never run out for long.
    #[test]
    fn the_share_and_the_patience_follow_the_number_of_places() {
        let made = |places| {
            let Places { share, patience, .. } = Places::new(places);
            (share, patience)
        };
        assert_eq!(made(1), (1, Duration::from_millis(1)));
        assert_eq!(made(9), (2, Duration::from_millis(9)));
        assert_eq!(made(1024), (256, PATIENCE));
        assert_eq!(made(usize::MAX), (usize::MAX / 4, PATIENCE));
    }

    /// Row R4: a network that has its share waits for a second. A peer of unknown address does not.
    #[tokio::test(start_paused = true)]
    async fn only_a_network_below_its_share_pushes_out_others_at_once() {
        let places = places(8);
        let (others, flood) = (fill(&places, THERE, 2).await, fill(&places, HERE, 6).await);
        let mut same = newcomer(&places, THERE);
        let mut unknown = Box::pin(places.take(None));
        assert!((&mut same).now_or_never().is_none());
        assert_eq!((asked(&others), asked(&flood)), (vec![], vec![]));
        assert!((&mut unknown).now_or_never().is_none());
        assert_eq!((asked(&others), asked(&flood)), (vec![], vec![0]));
        assert!(timeout(2 * PATIENCE, &mut same).await.is_err());
        assert!((&mut unknown).now_or_never().is_none());
        assert_eq!((asked(&others), asked(&flood)), (vec![], vec![0, 1]), "one for each newcomer");
        drop((others, flood, same, unknown));
        assert_empty(&places);
    }

    /// Row R4: a stream for which the program does not wait has the rights of its network.
    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_not_waited_for_is_taken_from_a_network_above_its_share() {
        let places = places(4);
        let mut flood = fill(&places, HERE, 4).await;
        assert!(places.try_take(of(HERE)).await.is_none());
        let oldest = flood.remove(0);
        let taken = tokio::join!(places.try_take(of(THERE)), async {
            oldest.gives_way().await;
            drop(oldest);
        });
        assert!(taken.0.is_some());
    }

    /// Row R4: the order in which handshakes give way to a network below its share.
    #[tokio::test(start_paused = true)]
    async fn the_idle_of_a_network_above_its_share_come_first_and_its_decisions_last() {
        for (phase, first, second) in [
            (Phase::Rejected, (vec![], vec![0]), (vec![], vec![0, 1])),
            (Phase::Deciding, (vec![0], vec![]), (vec![0], vec![0])),
            (Phase::Accepted, (vec![0], vec![]), (vec![0], vec![])),
        ] {
            let places = places(4);
            let (other, heavy) = (fill(&places, THERE, 1).await, fill(&places, HERE, 3).await);
            heavy.iter().for_each(|place| place.begin(phase));
            advance(PATIENCE).await;
            let _first = newcomer(&places, "192.0.2.3");
            assert_eq!((asked(&other), asked(&heavy)), first, "{phase:?}");
            let _second = newcomer(&places, "192.0.2.4");
            assert_eq!((asked(&other), asked(&heavy)), second, "{phase:?}");
        }
    }

    /// Row R4: while a network is above its share, one that has its share cannot push out others.
    #[tokio::test(start_paused = true)]
    async fn a_network_that_has_its_share_pushes_out_its_own_only_without_a_heavier_one() {
        for (accepted, expected) in [(2, vec![]), (1, vec![0])] {
            let places = places(accepted + 1);
            let answered = fill(&places, HERE, accepted).await;
            answered.iter().for_each(|place| place.begin(Phase::Accepted));
            let silent = fill(&places, THERE, 1).await;
            let mut same = newcomer(&places, THERE);
            assert!(timeout(2 * PATIENCE, &mut same).await.is_err());
            assert_eq!((asked(&answered), asked(&silent)), (vec![], expected));
        }
    }

    /// Row R4: a phase has its own second. A rejection that was asked still gives way.
    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_handshake_is_that_of_its_phase() {
        let places = places(1);
        let held = places.take(of(HERE)).await;
        advance(PATIENCE * 9 / 10).await;
        held.begin(Phase::Rejected);
        let mut taking = newcomer(&places, THERE);
        assert!(timeout(PATIENCE * 9 / 10, &mut taking).await.is_err());
        assert!(!held.is_asked());
        assert!(timeout(PATIENCE / 5, &mut taking).await.is_err());
        assert!(held.is_asked());
        held.begin(Phase::Rejected);
        assert!(held.is_asked());
    }

    /// Row R4: a handshake that is asked first reads the input that has already arrived.
    #[tokio::test(start_paused = true)]
    async fn a_handshake_looks_once_more_before_it_gives_way() {
        let places = places(1);
        let held = places.take(of(HERE)).await;
        advance(PATIENCE).await;
        let mut giving = pin!(held.gives_way());
        assert!(giving.as_mut().now_or_never().is_none(), "it was not asked");
        let mut taking = newcomer(&places, THERE);
        assert!(giving.as_mut().now_or_never().is_none(), "the runtime polls its sockets");
        held.begin(Phase::Deciding);
        assert!(giving.as_mut().now_or_never().is_none(), "the request has arrived");
        held.begin(Phase::Rejected);
        assert!(timeout(2 * PATIENCE, &mut taking).await.is_err());
        timeout(PATIENCE, giving).await.expect("the newcomer has asked it");
    }

    /// Row R4: waiting newcomers get places in their order, so listeners take turns.
    #[tokio::test(start_paused = true)]
    async fn newcomers_take_turns() {
        let places = places(1);
        let held = places.take(of(HERE)).await;
        held.begin(Phase::Deciding);
        let first = newcomer(&places, HERE);
        let mut second = newcomer(&places, THERE);
        drop(held);
        assert!((&mut second).now_or_never().is_none());
        drop(first.await);
        second.await;
    }
}

#[cfg(test)]
#[cfg(wsx_model)]
mod loom_tests;
