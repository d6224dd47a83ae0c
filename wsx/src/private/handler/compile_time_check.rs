//! Checks of handlers and endpoints that fail to compile, and their messages.
use crate::{
    __private::{Keyed, compile_time_check::refuse, is_among, is_one_of, same},
    protocol::{Receives, Side, endpoint::Endpoint, side::Declared},
};

/// Checks that `E` is an endpoint, at the span of its name.
pub const fn is_endpoint<E: Endpoint>() {}

/// Checks that `S` is a side, at the span of its name.
pub const fn is_side<S: Declared>() {}

/// Checks that `M` is a message, at the span of the argument.
pub const fn is_message<M: Keyed>() {}

/// Checks the direction, at the span of the argument.
pub const fn receives<S: Receives<M, From>, From, M: ?Sized>() {}

/// Fails to compile unless the handler's type string is its message's.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_type(said: &str, own: &str) {
    if !same(said, own) {
        refuse(&[
            "the handler names the type \"",
            said,
            "\", but its message has the type \"",
            own,
            "\": correct the string, or remove it",
        ]);
    }
}

/// Fails to compile unless the side receives this type, for a handler without a message. An empty
/// type belongs to a type of the protocol that is not a message; then the protocol has the error.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_inbound<S: Side>(has_message: bool, message_type: &str) {
    if !has_message && !is_among(S::INBOUND, message_type) && !is_among(S::INBOUND, "") {
        refuse(&[
            "`",
            S::NAME,
            "` never receives \"",
            message_type,
            "\": correct the type, or add the message to protocol `",
            S::PROTOCOL,
            "`",
        ]);
    }
}

/// Fails to compile if the handler of a request does not take the request. Its reply could not be
/// checked then.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_reply<S: Side>(takes_message: bool, message_type: &str) {
    if !takes_message && is_one_of(S::REQUESTS, message_type) {
        refuse(&[
            "\"",
            message_type,
            "\" is a request to `",
            S::NAME,
            "`, so its handler takes the message as an argument: the message says which reply it has",
        ]);
    }
}

/// The place of the side whose protocol decides about the handler's reply: the handler's own, a
/// side that may reply with anything, and a stand-in for a mistake that another check reports.
///
/// `has_message` says whether an argument is a message, and `is_named` whether the protocol says
/// that the side receives it.
#[must_use]
pub const fn expecting<S: Side>(has_message: bool, is_named: bool, message_type: &str) -> usize {
    match (has_message, is_named || S::PROTOCOL.is_empty()) {
        (true, true) => 0,
        (false, _) if !is_one_of(S::REQUESTS, message_type) => 1,
        _ => 2,
    }
}

/// Fails to compile unless a handler takes the connection of its endpoint's side.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_connection<E: Endpoint>(holds: bool) {
    let side = <E::Side as Side>::NAME;
    match (holds, <E::Side as Side>::PROTOCOL.is_empty()) {
        (true, _) => {}
        (false, false) => refuse(&[
            "`",
            E::NAME,
            "` is an endpoint of side `",
            side,
            "`, so its handlers take `&Connection<",
            side,
            ">`, or `Connection<",
            side,
            ">` to keep",
        ]),
        (false, true) if same(E::NAME, "Untyped") => refuse(&[
            "a handler without an endpoint takes `&Connection`, or `Connection` to keep: name the endpoint if it is meant \
             for one, as in `#[wsx::handler(on = Station)]`",
        ]),
        (false, true) => refuse(&[
            "`",
            E::NAME,
            "` is an endpoint without a side, so its handlers take `&Connection`, or `Connection` to keep: name the side \
             with `#[wsx(side = ..)]` on `",
            E::NAME,
            "`",
        ]),
    }
}

/// Fails to compile unless the side exchanges messages with this peer, and the program calls the
/// peer by its own name: a complete endpoint finds its messages by that name. Another check reports
/// a type that is not a side.
///
/// # Panics
///
/// During compilation.
#[track_caller]
pub const fn ensure_peer<S: Side>(known: Option<&'static str>, said: &str) {
    match known {
        None if !S::PROTOCOL.is_empty() => refuse(&[
            "`",
            S::NAME,
            "` exchanges no message with `",
            said,
            "`: name a side that protocol `",
            S::PROTOCOL,
            "` has on a line with `",
            S::NAME,
            "`",
        ]),
        Some(name) if !same(name, said) => refuse(&[
            "the protocol calls this side `",
            name,
            "`: import it under that name, and write `peer = ",
            name,
            "`",
        ]),
        _ => {}
    }
}
