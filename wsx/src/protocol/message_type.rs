//! A type string as a type, by which the compiler tells handlers apart.

/// A type string as a type, which the compiler prints letter by letter: `MessageType<'c', 'm', 'd'>`. Errors show it, programs
/// have no use for it.
///
/// What is longer than 12 letters counts by its hash.
#[derive(Debug)]
pub struct MessageType<
    const A: char = '\0',
    const B: char = '\0',
    const C: char = '\0',
    const D: char = '\0',
    const E: char = '\0',
    const F: char = '\0',
    const G: char = '\0',
    const H: char = '\0',
    const I: char = '\0',
    const J: char = '\0',
    const K: char = '\0',
    const L: char = '\0',
    const REST: u64 = 0,
>;
