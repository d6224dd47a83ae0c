//! The hash of what both ends must agree on.
use crate::protocol::Travel;

/// Fowler–Noll–Vo, 64 bits.
#[must_use]
pub const fn hash(text: &str) -> u64 {
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

/// A field's part: its own fingerprint if it is a message, else the name of its type.
#[must_use]
pub const fn field(fingerprint: Option<u64>, type_name: &str) -> u64 {
    match fingerprint {
        Some(fingerprint) => fingerprint,
        None => hash(type_name),
    }
}

/// A protocol's fingerprint.
#[must_use]
pub const fn fingerprint(name: &str, version: u32, travels: &[Travel]) -> u64 {
    let mut fingerprint = mix(hash(name), version as u64);
    let mut at = 0;
    while at < travels.len() {
        fingerprint = mix(fingerprint, travels[at].fingerprint);
        fingerprint = mix(mix(fingerprint, hash(travels[at].from)), hash(travels[at].to));
        at += 1;
    }
    fingerprint
}
