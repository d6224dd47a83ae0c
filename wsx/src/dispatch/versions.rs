//! What a program speaks, and what its peers of other versions understand. It does not know how a
//! peer names its version.
#[cfg(feature = "versions")]
use crate::{
    connection::handle::written_by,
    contract::{Released, Verdict, Verdicts},
};
use crate::{
    connection::{
        Connection,
        handle::{Handle, PeerProtocol},
    },
    observer::{GuardedObserver, Misunderstood},
    protocol::{PeerVersion, endpoint::Endpoint, side::Side},
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
        let Some(PeerVersion { protocol, version, fingerprint }) = &self.own else {
            return Err(format!("contract: `{}` is not the endpoint of a protocol", E::NAME));
        };
        self.verdicts = Some(Verdicts::new(released, protocol, *version, *fingerprint, E::Side::NAME)?);
        Ok(())
    }

    /// Returns what the program speaks.
    pub(crate) fn own(&self) -> Option<&PeerVersion> {
        self.own.as_ref()
    }

    /// Whether messages may be withheld.
    pub(crate) fn withholds(&self) -> bool {
        self.has_verdicts()
    }

    /// Notes what the peer of a new connection speaks, and reports a difference.
    pub(crate) fn meet(&self, conn: &Handle, version: PeerVersion, observer: &GuardedObserver) {
        let peer = self.peer(version, observer);
        conn.set_peer_protocol(peer);
    }

    /// Reports what the ends do not understand of each other.
    pub(crate) fn report(&self, conn: &Handle, observer: &GuardedObserver) {
        let Some(peer) = conn.peer_protocol() else { return };
        if !self.has_verdicts() || self.own.as_ref() == Some(&peer.version) {
            return;
        }
        let misread = self.misread(&peer.version);
        let misunderstood = Misunderstood {
            withheld: &peer.withheld,
            misread: misread.unwrap_or_default(),
            is_known: misread.is_some(),
        };
        if !misunderstood.is_known || !misunderstood.withheld.is_empty() || !misunderstood.misread.is_empty() {
            observer.version_differs(Connection::of(conn), &peer.version, &misunderstood);
        }
    }

    fn peer(&self, version: PeerVersion, observer: &GuardedObserver) -> Arc<PeerProtocol> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = known.get(&version) {
            return peer.clone();
        }
        let withheld = self.withheld(&version);
        let mut unread = withheld.clone();
        unread.extend(self.of_others(&version));
        unread.sort();
        let (unread, watch) = (unread.into(), Arc::new(observer.clone()));
        let peer = Arc::new(PeerProtocol { version: version.clone(), withheld, unread, watch });
        if self.own.as_ref() == Some(&version) || self.misread(&version).is_some() {
            known.insert(version, peer.clone());
        }
        peer
    }
}

#[cfg(feature = "versions")]
impl Versions {
    fn has_verdicts(&self) -> bool {
        self.verdicts.is_some()
    }

    /// Returns the verdict about a peer, if the lock file has its version.
    fn verdict(&self, peer: &PeerVersion) -> Option<&Verdict> {
        let is_same = self.own.as_ref().is_some_and(|own| own.protocol == peer.protocol);
        self.verdicts.as_ref().filter(|_| is_same)?.of(peer.version, peer.fingerprint)
    }

    fn withheld(&self, peer: &PeerVersion) -> Vec<Box<str>> {
        self.verdict(peer).map_or_else(Vec::new, |verdict| verdict.withheld.clone())
    }

    fn misread(&self, peer: &PeerVersion) -> Option<&[Box<str>]> {
        self.verdict(peer).map(|verdict| &*verdict.misread)
    }

    /// Returns what the peer does not understand of other versions of this program.
    fn of_others(&self, peer: &PeerVersion) -> Vec<Box<str>> {
        let Some(verdict) = self.verdict(peer) else { return Vec::new() };
        let name = |(number, digits, message_type): &(u32, Box<str>, Box<str>)| {
            let fingerprint = u64::from_str_radix(digits, 16).unwrap_or_default();
            let writer = PeerVersion::new(&peer.protocol, *number, fingerprint);
            written_by(&writer.header(), message_type).into()
        };
        verdict.of_others.iter().map(name).collect()
    }
}

/// Without the feature, nothing is known of other versions.
#[cfg(not(feature = "versions"))]
#[allow(clippy::unused_self, reason = "as with the feature")]
impl Versions {
    fn has_verdicts(&self) -> bool {
        false
    }

    fn withheld(&self, _: &PeerVersion) -> Vec<Box<str>> {
        Vec::new()
    }

    fn misread(&self, _: &PeerVersion) -> Option<&[Box<str>]> {
        None
    }

    fn of_others(&self, _: &PeerVersion) -> Vec<Box<str>> {
        Vec::new()
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
