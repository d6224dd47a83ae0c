//! Checks that fail to compile, and their messages.
use super::{is_one_of, repeats};
use crate::{envelope::codes, policy::Policy};

/// Fails to compile with these pieces as one text, for a message with names that the macro cannot
/// know.
#[track_caller]
pub(super) const fn refuse(pieces: &[&str]) -> ! {
    let (mut text, mut at, mut length) = ([0; 1024], 0, 0);
    while at < pieces.len() {
        let piece = pieces[at].as_bytes();
        let mut byte = 0;
        while byte < piece.len() && length < text.len() {
            text[length] = piece[byte];
            length += 1;
            byte += 1;
        }
        at += 1;
    }
    match std::str::from_utf8(text.split_at(length).0) {
        Ok(text) => panic!("{}", text),
        Err(_) => panic!("a check of wsx failed"),
    }
}

/// A side, and one of its peers; `protocol!` implements it.
pub trait SpeaksWith<Peer> {
    /// The peer's name in the protocol.
    const NAME: &'static str;
}

/// Fails to compile if the side receives an earlier message with the same type string.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_unique(side: &str, types: &[&str], at: usize) {
    if repeats(types, at) {
        let cure = "\": give one of the two another type with `#[wsx(type = \"..\")]`";
        refuse(&["`", side, "` already receives a message of type \"", types[at], cure]);
    }
}

/// Fails to compile if the type string of a refusal is a code of wsx. The type string of a refusal
/// is the code of the failure on the wire.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_refusal(message_type: &str) {
    if is_one_of(codes::ALL, message_type) {
        refuse(&[
            "a refusal cannot have the type \"",
            message_type,
            "\", with which wsx reports that a request failed: give it another type with `#[wsx(type = \"..\")]`",
        ]);
    }
}

/// Fails to compile if the message declares how it is delivered. A request, a reply and a refusal
/// belong to one connection, and the request has a deadline. Only a request may be sent `always`:
/// an answer follows from it.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_not_declared(message_type: &str, policy: Policy, form: &str, is_request: bool) {
    if policy.is_kept() {
        let delivery = policy.delivery.name();
        refuse(&[
            "\"",
            message_type,
            "\" is ",
            form,
            ", which cannot have `delivery = ",
            delivery,
            "`: remove the option",
        ]);
    }
    if policy.ttl.is_some() {
        refuse(&["\"", message_type, "\" is ", form, ", which cannot have a `ttl`: remove the option"]);
    }
    if policy.always && !is_request {
        refuse(&["\"", message_type, "\" is ", form, ", which cannot have `always`: remove the option"]);
    }
}

/// Fails to compile with this text unless it holds.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure(holds: bool, text: &str) {
    if !holds {
        panic!("{}", text);
    }
}
