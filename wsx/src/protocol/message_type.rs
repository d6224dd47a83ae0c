//! A type string as a Rust type, so that the compiler can distinguish handlers.

/// A type string as a Rust type. The compiler prints it letter by letter:
/// `MessageType<'c', 'm', 'd'>`.
///
/// It appears in compiler errors; programs do not need it. Of a type string with more than 12
/// letters, the rest counts by its hash.
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
