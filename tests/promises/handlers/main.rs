//! Functions that handle messages, with a protocol and without: rows M1 to M3 of the specification.
//!
//! Handlers without an endpoint are collected from the whole program. The handlers of `start_up`
//! conflict on purpose, so it is a program of its own.
mod handlers;
mod protocol;
