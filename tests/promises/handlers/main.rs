//! Functions that handle messages, with a protocol and without.
//!
//! Handlers without an endpoint are collected from the whole program. The handlers of `start_up`
//! conflict on purpose, so it is a program of its own.
mod handlers;
mod policy;
mod protocol;
mod replies;
