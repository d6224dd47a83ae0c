//! The hash of what both ends must agree on.
use crate::{policy::Policy, protocol::Travel};
use std::marker::PhantomData;

/// Fowler–Noll–Vo, 64 bits.
#[must_use]
pub(super) const fn hash(text: &str) -> u64 {
    let (bytes, mut hash, mut at) = (text.as_bytes(), 0xcbf2_9ce4_8422_2325_u64, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    // A terminator, so that "ab", "c" differs from "a", "bc".
    (hash ^ 0xff).wrapping_mul(0x0100_0000_01b3)
}

/// Adds a part to a fingerprint; the order counts.
#[must_use]
pub const fn mix(fingerprint: u64, part: u64) -> u64 {
    (fingerprint.rotate_left(23) ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The hash that a probe found, or the other one.
#[must_use]
pub const fn found_or(found: Option<u64>, otherwise: u64) -> u64 {
    match found {
        Some(hash) => hash,
        None => otherwise,
    }
}

/// A protocol's fingerprint. The order of its lines does not count.
#[must_use]
pub const fn fingerprint(name: &str, version: u32, travels: &[Travel]) -> u64 {
    let (mut all, mut at) = (0_u64, 0);
    while at < travels.len() {
        let Travel { from, to, fingerprint, policy, reply, refusal, .. } = travels[at];
        let mut travel = mix(mix(fingerprint, hash(from)), hash(to));
        // A message that is not a request counts as it did before protocols had requests.
        if let Some(reply) = reply {
            travel = mix(mix(travel, hash("reply")), reply.fingerprint);
        }
        if let Some(refusal) = refusal {
            travel = mix(mix(travel, hash("refusal")), refusal.fingerprint);
        }
        // The same holds for a message that does not declare its delivery.
        if !policy.is_default() {
            travel = mix(travel, policy_hash(policy));
        }
        all = all.wrapping_add(travel);
        at += 1;
    }
    mix(mix(hash(name), version as u64), all)
}

/// A hash of everything that a message declares about its delivery.
const fn policy_hash(policy: Policy) -> u64 {
    let key = match policy.key {
        Some(field) => hash(field),
        None => 0,
    };
    let full = hash(policy.full.name());
    let all = mix(mix(mix(hash(policy.delivery.name()), policy.ttl_milliseconds()), key), full);
    // Without it, a policy counts as it did before there was `always`.
    if policy.always { mix(all, hash("always")) } else { all }
}

/// A message's shape, which counts the messages inside of it down to the depth `D`.
pub trait Shape<D> {
    /// The hash of the shape.
    const SHAPE: u64;
}

/// A depth. Messages may contain each other, as a tree does, so a shape without a depth could have
/// no end.
pub trait Depth: Sized {
    /// The depth of the messages inside of a message of this depth.
    type Less: Depth;
    /// A message inside of a message of this depth.
    type Look<M: Shape<Self::Less>>: Seen;
}

/// A message inside of another message.
pub trait Seen {
    /// The hash of its shape, unless it is too deep.
    const SHAPE: Option<u64>;
}

/// The depth at which messages inside of a message count by their names.
#[derive(Debug)]
pub struct Lowest;

/// One depth more.
#[derive(Debug)]
pub struct Above<D>(PhantomData<D>);

/// The depth of a fingerprint: 8 messages inside of each other.
pub type Full = Above<Above<Above<Above<Above<Above<Above<Above<Lowest>>>>>>>>;

/// A type of a field, which may be a message, of a message of the depth `D`.
#[derive(Debug)]
pub struct Inside<T: ?Sized, D>(PhantomData<D>, PhantomData<T>);

impl Depth for Lowest {
    type Less = Self;
    type Look<M: Shape<Self>> = Self;
}

impl Seen for Lowest {
    const SHAPE: Option<u64> = None;
}

impl<D: Depth> Depth for Above<D> {
    type Less = D;
    type Look<M: Shape<D>> = Inside<M, D>;
}

impl<M: Shape<D>, D: Depth> Seen for Inside<M, D> {
    const SHAPE: Option<u64> = Some(M::SHAPE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{policy::Delivery, protocol::Answer};
    use std::collections::BTreeSet;

    /// Row M4: a protocol without requests has the fingerprint that it had before there were
    /// requests.
    #[test]
    fn a_reply_counts_only_if_there_is_one() {
        let plain = Travel::new("Edge", "Server", "health", 7);
        let travel = mix(mix(7, hash("Edge")), hash("Server"));
        let of = |travel: u64| mix(mix(hash("Fleet"), 1), travel);
        assert_eq!(fingerprint("Fleet", 1, &[plain]), of(travel));
        assert_ne!(fingerprint("Fleet", 1, &[plain.answered(Answer::new("done", 0), None)]), of(travel));
    }

    /// Row G1: every option of a policy counts, and a message without one counts as before.
    #[test]
    fn a_policy_counts_only_if_there_is_one() {
        let of = |policy| fingerprint("Fleet", 1, &[Travel::new("Edge", "Server", "health", 7).delivered(policy)]);
        assert_eq!(of(Policy::AT_MOST_ONCE), fingerprint("Fleet", 1, &[Travel::new("Edge", "Server", "health", 7)]));
        let (once, latest) = (Policy::of(Delivery::AtLeastOnce), Policy::of(Delivery::Latest));
        let all = [
            Policy::AT_MOST_ONCE,
            Policy::AT_MOST_ONCE.sent_always(),
            Policy::AT_MOST_ONCE.with_ttl(1),
            once,
            once.with_ttl(1),
            once.with_ttl(2),
            once.dropping_oldest(),
            latest,
            latest.with_key("device"),
            latest.with_key("place"),
            Policy::of(Delivery::State),
        ];
        let different: BTreeSet<u64> = all.into_iter().map(of).collect();
        assert_eq!(different.len(), all.len());
    }
}
