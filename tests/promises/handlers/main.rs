//! Functions that handle messages, with a protocol and without.
//!
//! Handlers without an endpoint are collected from the whole program, so `start_up`, whose handlers contradict each other, is
//! a program of its own.
mod handlers;
mod protocol;
