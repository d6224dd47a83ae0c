//! What a program speaks, and what its peers of other versions understand. It does not know how a
//! peer names its version.
#[cfg(feature = "versions")]
use crate::contract::{Released, Verdicts};
use crate::{
    connection::{
        Connection,
        handle::{Handle, PeerProtocol},
    },
    observer::{GuardedObserver, Misunderstood},
    protocol::{PeerVersion, endpoint::Endpoint, side::Side, verdict::Verdict},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The version of a program, and of its peers.
pub(crate) struct Versions {
    /// What the program speaks; `None` without a protocol.
    own: Option<PeerVersion>,
    /// What the released versions understand, if the program has the lock file.
    #[cfg(feature = "versions")]
    verdicts: Option<Verdicts>,
    /// The versions that several connections have: its own, and those of the lock file. Peers may
    /// name what they like, so all others are not remembered.
    known: Mutex<HashMap<PeerVersion, Arc<PeerProtocol>>>,
}

impl Versions {
    /// Returns the versions of a program without a lock file.
    pub(crate) fn of<E: Endpoint>() -> Self {
        let has_protocol = !E::Side::PROTOCOL.is_empty();
        let own = || PeerVersion::new(E::Side::PROTOCOL, E::Side::VERSION, E::Side::FINGERPRINT);
        Self { own: has_protocol.then(own), ..Self::none() }
    }

    /// Returns the versions of a program without a protocol.
    pub(crate) fn none() -> Self {
        Self {
            own: None,
            #[cfg(feature = "versions")]
            verdicts: None,
            known: Mutex::default(),
        }
    }

    /// Takes the lock file. The error says what is wrong with it.
    #[cfg(feature = "versions")]
    pub(crate) fn set_released<E: Endpoint>(&mut self, released: Released) -> Result<(), String> {
        let no_protocol = || format!("contract: `{}` is not the endpoint of a protocol", E::NAME);
        let own = self.own.as_ref().ok_or_else(no_protocol)?;
        self.verdicts = Some(Verdicts::new(released, own, E::Side::NAME)?);
        Ok(())
    }

    /// Returns what the program speaks.
    pub(crate) fn own(&self) -> Option<&PeerVersion> {
        self.own.as_ref()
    }

    /// Notes what the peer of a new connection speaks.
    pub(crate) fn meet(&self, conn: &Handle, version: PeerVersion, observer: &GuardedObserver) {
        let peer = self.peer(version, observer);
        conn.set_peer_protocol(peer);
    }

    /// Reports what the ends do not understand of each other.
    pub(crate) fn report(&self, conn: &Handle, observer: &GuardedObserver) {
        let Some(peer) = conn.peer_protocol() else { return };
        let verdict = peer.verdict.as_deref();
        let (withheld, misread) = verdict.map_or((&[][..], &[][..]), |known| (&known.withheld, &known.misread));
        let misunderstood = Misunderstood { withheld, misread, is_known: verdict.is_some() };
        let is_clear = misunderstood.is_known && withheld.is_empty() && misread.is_empty();
        if self.withholds() && !is_clear {
            observer.version_differs(Connection::of(conn), &peer.version, &misunderstood);
        }
    }

    fn peer(&self, version: PeerVersion, observer: &GuardedObserver) -> Arc<PeerProtocol> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = known.get(&version) {
            return peer.clone();
        }
        let verdict = self.verdict(&version).cloned().map(Arc::new);
        let is_shared = verdict.is_some() || self.own.as_ref() == Some(&version);
        let peer = Arc::new(PeerProtocol { version: version.clone(), verdict, watch: Arc::new(observer.clone()) });
        if is_shared {
            known.insert(version, peer.clone());
        }
        peer
    }
}

#[cfg(feature = "versions")]
impl Versions {
    /// Whether messages may be withheld.
    pub(crate) fn withholds(&self) -> bool {
        self.verdicts.is_some()
    }

    /// Returns the verdict about a peer, if the lock file has its version.
    fn verdict(&self, peer: &PeerVersion) -> Option<&Verdict> {
        self.verdicts.as_ref()?.of(peer)
    }
}

/// Without the feature, nothing is known of other versions.
#[cfg(not(feature = "versions"))]
#[allow(clippy::unused_self, reason = "as with the feature")]
impl Versions {
    pub(crate) fn withholds(&self) -> bool {
        false
    }

    fn verdict(&self, _: &PeerVersion) -> Option<&Verdict> {
        None
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{config::Config, observer::Silent, wire::role::Role};

    /// Row U5: connections share what they know of their own version, and peers that name one
    /// version after the other do not fill the memory.
    #[test]
    fn the_remembered_versions_are_bounded() {
        let own = Some(PeerVersion::new("Fleet", 0, 0));
        let (versions, observer) = (Versions { own, ..Versions::none() }, GuardedObserver::new(Silent));
        let meet = |number: u32| {
            let conn = Handle::new("box-7".into(), Role::Server, &Config::default());
            versions.meet(&conn, PeerVersion::new("Fleet", number, 0), &observer);
            conn.peer_protocol().unwrap().clone()
        };
        assert!(Arc::ptr_eq(&meet(0), &meet(0)));
        for number in 0..1_000 {
            assert_eq!(meet(number).version.version, number);
        }
        assert_eq!(versions.known.lock().unwrap().len(), 1);
    }
}
