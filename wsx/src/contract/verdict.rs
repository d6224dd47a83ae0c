//! What an end of one version and peers of the other released versions understand of each other. It
//! does not know connections.
use super::{
    Released,
    locked::fits::{Sides, misfits},
    locked::lock::Lock,
    locked::node::Wrong,
    locked::version::{Entry, Payload, Version},
};
use crate::protocol::{
    PeerVersion,
    verdict::{Verdict, written_by},
};
use std::collections::{BTreeMap, BTreeSet};

/// What each released version understands of this end.
#[derive(Debug)]
pub(crate) struct Verdicts(BTreeMap<PeerVersion, Verdict>);

impl Verdicts {
    /// Compares a version with all others of the file, for an end that is `side`.
    pub(crate) fn new(released: Released, own: &PeerVersion, side: &str) -> Result<Self, String> {
        let PeerVersion { protocol, version: number, fingerprint } = own;
        let lock = Lock::read(released.text())
            .map_err(|Wrong { line, what }| format!("contract: the lock file of {protocol}, line {line}: {what}"))?;
        if *lock.protocol != **protocol {
            let other = lock.protocol;
            return Err(format!("contract: this is the lock file of {other}, and the endpoint speaks {protocol}"));
        }
        let is_own = |version: &&Version| spoken(protocol, version).any(|spoken| spoken == *own);
        let code = lock.versions.iter().rfind(is_own).ok_or_else(|| {
            format!(
                "contract: the lock file does not have {protocol} v{number} with the fingerprint {fingerprint:016x}: \
                 run the test with `wsx::contract::check!` and WSX_CONTRACT=accept, and commit the file"
            )
        })?;
        let mut verdicts = BTreeMap::<_, Verdict>::new();
        for peer in &lock.versions {
            let mut unread_of_others = Vec::new();
            for writer in &lock.versions {
                let withheld = withheld(writer, peer, side);
                for version in spoken(protocol, writer).filter(|version| version != own) {
                    let name = |message_type: &&str| written_by(&version.key(), message_type).into();
                    unread_of_others.extend(withheld.iter().map(name));
                }
            }
            let verdict = Verdict {
                withheld: list(withheld(code, peer, side)),
                misread: list(unread(peer, code, |way| way.1 == side)),
                unread_of_others,
            };
            for version in spoken(protocol, peer) {
                // A fingerprint does not cover everything: two shapes may have the same one. Then
                // the peer may be either.
                add(verdicts.entry(version).or_default(), &verdict);
            }
        }
        Ok(Self(verdicts))
    }

    /// Returns what peers of a version understand, if the lock file has it.
    pub(crate) fn of(&self, peer: &PeerVersion) -> Option<&Verdict> {
        self.0.get(peer)
    }
}

/// Returns a version as each of the programs that have it names it.
fn spoken<'v>(protocol: &'v str, version: &'v Version) -> impl Iterator<Item = PeerVersion> + 'v {
    let fingerprints = version.fingerprints.iter().filter_map(|digits| u64::from_str_radix(digits, 16).ok());
    fingerprints.map(move |fingerprint| PeerVersion::new(protocol, version.number, fingerprint))
}

/// Adds what another shape of the peer does not understand.
fn add(to: &mut Verdict, other: &Verdict) {
    let Verdict { withheld, misread, unread_of_others } = to;
    for (own, more) in
        [(withheld, &other.withheld), (misread, &other.misread), (unread_of_others, &other.unread_of_others)]
    {
        own.extend_from_slice(more);
        own.sort();
        own.dedup();
    }
}

fn list(types: BTreeSet<&str>) -> Vec<Box<str>> {
    types.into_iter().map(Box::from).collect()
}

/// Returns what a peer does not understand of a version.
fn withheld<'v>(writer: &'v Version, peer: &Version, side: &str) -> BTreeSet<&'v str> {
    let mut withheld = unread(writer, peer, |way| way.0 == side);
    // These are sent whatever the peer has named.
    for Entry { message, delivery, .. } in &writer.messages {
        if delivery.split(", ").any(|word| word == ALWAYS) {
            withheld.remove(&*message.message_type);
        }
    }
    withheld
}

/// The word of a policy whose messages are never withheld.
const ALWAYS: &str = "always";

/// Returns the types that one version writes and the other reads on none of the ways that count:
/// from a side to a side. The connection does not know the other side by its name.
fn unread<'v>(writer: &'v Version, reader: &Version, counts: impl Fn((&str, &str)) -> bool) -> BTreeSet<&'v str> {
    let theirs: Vec<_> = reader.messages.iter().flat_map(ways).collect();
    let is_read = |(from, to, payload): &(&str, &str, &Payload)| {
        let types = Sides { written: &writer.types.written, read: &reader.types.read };
        let same = theirs.iter().find(|(other, towards, own)| {
            (*other, *towards, &*own.message_type) == (*from, *to, &*payload.message_type)
        });
        same.is_some_and(|(.., own)| misfits(&payload.data.written, &own.data.read, types).is_empty())
    };
    // A version that cannot ask does not get a reply.
    let is_asked = |entry: &Entry| reader.messages.iter().any(|other| other.place() == entry.place());
    let sent = writer.messages.iter().flat_map(|entry| ways(entry).take(if is_asked(entry) { 2 } else { 1 }));
    let (mut read, mut unread) = (BTreeSet::new(), BTreeSet::new());
    for way in sent.filter(|way| counts((way.0, way.1))) {
        let list = if is_read(&way) { &mut read } else { &mut unread };
        list.insert(&*way.2.message_type);
    }
    &unread - &read
}

/// Returns the payload of a message, then that of its reply, each with the side that writes it and
/// the side that reads it. A refusal is always sent: whoever does not know it takes it for a
/// failure.
fn ways(entry: &Entry) -> impl Iterator<Item = (&str, &str, &Payload)> {
    let Entry { from, to, message, reply, .. } = entry;
    let reply = reply.iter().map(|payload| (&**to, &**from, payload));
    [(&**from, &**to, message)].into_iter().chain(reply)
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    const LOCK: &str = r#"{
        "wsx.lock": 1, "protocol": "Fleet", "versions": [
            {"version": 1, "fingerprints": ["00000000000000a1"], "released": true, "messages": [
                {"message": "health", "from": "Edge", "to": "Server", "data": {"ok": "bool"}},
                {"message": "cmd", "from": "Server", "to": "Edge", "data": {"do": "string"}},
                {"message": "ask", "from": "Edge", "to": "Server", "data": {},
                    "reply": {"message": "said", "data": {"text": "string"}}},
                {"message": "update", "from": "Server", "to": "Edge", "delivery": "always", "data": {"url": "string"}}
            ]},
            {"version": 2, "fingerprints": ["00000000000000b2", "00000000000000c3"], "released": false, "messages": [
                {"message": "health", "from": "Edge", "to": "Server", "data": {"ok": "bool", "volts": "float"}},
                {"message": "cmd", "from": "Server", "to": "Edge", "data": {"do": "u8"}},
                {"message": "light", "from": "Server", "to": "Edge", "data": {}},
                {"message": "ask", "from": "Edge", "to": "Server", "data": {},
                    "reply": {"message": "said", "data": {"text": "u8"}}},
                {"message": "update", "from": "Server", "to": "Edge", "delivery": "at_least_once, always", "data": {"url": "u8"}}
            ]}
        ]}"#;

    fn verdict(own: (u32, u64), peer: (u32, u64), side: &str) -> Option<(Vec<String>, Vec<String>)> {
        let text = |types: &[Box<str>]| types.iter().map(ToString::to_string).collect();
        let verdicts = Verdicts::new(Released::__new(LOCK), &PeerVersion::new("Fleet", own.0, own.1), side).unwrap();
        verdicts
            .of(&PeerVersion::new("Fleet", peer.0, peer.1))
            .map(|verdict| (text(&verdict.withheld), text(&verdict.misread)))
    }

    /// Row U6: each direction has its own verdict, a reply goes the way of its answer, and what is
    /// marked `always` is never withheld.
    #[test]
    fn an_end_knows_what_each_version_reads() {
        let known = |withheld: &[&str], misread: &[&str]| {
            let list = |types: &[&str]| types.iter().map(ToString::to_string).collect::<Vec<_>>();
            Some((list(withheld), list(misread)))
        };
        assert_eq!(verdict((2, 0xb2), (1, 0xa1), "Server"), known(&["cmd", "light", "said"], &["health"]));
        assert_eq!(verdict((2, 0xb2), (1, 0xa1), "Edge"), known(&[], &["cmd", "said", "update"]));
        assert_eq!(verdict((1, 0xa1), (2, 0xc3), "Edge"), known(&["health"], &["cmd", "light", "said", "update"]));
        assert_eq!(verdict((2, 0xc3), (2, 0xb2), "Server"), known(&[], &[]));
        assert_eq!(verdict((2, 0xc3), (2, 0xa1), "Server"), None, "the number belongs to the fingerprint");
    }

    /// Row U6: a message that also goes to a new side is still read by the old one, and two shapes
    /// of one fingerprint count together.
    #[test]
    fn a_type_is_withheld_if_no_side_reads_it() {
        const SIDES: &str = r#"{
            "wsx.lock": 1, "protocol": "Fleet", "versions": [
                {"version": 1, "fingerprints": ["00000000000000a1"], "released": true, "messages": [
                    {"message": "notice", "from": "Server", "to": "Edge", "data": {"text": "string"}},
                    {"message": "set", "from": "Server", "to": "Edge", "data": {"x": "u8"}}
                ]},
                {"version": 1, "fingerprints": ["00000000000000a1"], "released": true, "messages": [
                    {"message": "notice", "from": "Server", "to": "Edge", "data": {"text": "string"}},
                    {"message": "set", "from": "Server", "to": "Edge", "data": {"x?": "u8"}}
                ]},
                {"version": 2, "fingerprints": ["00000000000000b2"], "released": false, "messages": [
                    {"message": "notice", "from": "Server", "to": "Edge", "data": {"text": "string"}},
                    {"message": "notice", "from": "Server", "to": "Page", "data": {"text": "string"}},
                    {"message": "set", "from": "Server", "to": "Edge", "data": {}}
                ]}
            ]}"#;
        let verdicts = Verdicts::new(Released::__new(SIDES), &PeerVersion::new("Fleet", 2, 0xb2), "Server").unwrap();
        assert_eq!(verdicts.of(&PeerVersion::new("Fleet", 1, 0xa1)).unwrap().withheld, ["set".into()]);
    }

    /// Row U6: without its own version, an end knows nothing.
    #[test]
    fn a_file_that_does_not_have_the_code_is_an_error() {
        let wrong = |text, protocol, number, fingerprint| {
            Verdicts::new(Released::__new(text), &PeerVersion::new(protocol, number, fingerprint), "Edge").unwrap_err()
        };
        assert!(wrong(LOCK, "Fleet", 1, 0xb2).contains("does not have Fleet v1 with the fingerprint 00000000000000b2"));
        assert!(wrong(LOCK, "Other", 1, 0xa1).contains("the lock file of Fleet, and the endpoint speaks Other"));
        assert!(wrong("{\n\n<<<<<<< HEAD\n", "Fleet", 1, 0xa1).contains("line 3: git could not merge"));
    }
}
