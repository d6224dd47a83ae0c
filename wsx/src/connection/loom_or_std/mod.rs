//! The locks, the atomics and the hash that tests replace: those of std and tokio, or those of loom
//! when loom checks every order of the threads.

#[cfg(not(all(test, wsx_model)))]
pub(crate) use std::{
    hash::RandomState,
    sync::{Mutex, MutexGuard},
};
#[cfg(all(feature = "client", not(all(test, wsx_model))))]
pub(crate) use {std::sync::atomic::AtomicBool, tokio::sync::watch};

#[cfg(test)]
#[cfg(wsx_model)]
pub(crate) mod model;
#[cfg(test)]
#[cfg(all(wsx_model, feature = "client"))]
pub(crate) mod watch;

#[cfg(all(test, wsx_model, feature = "client"))]
pub(crate) use loom::sync::atomic::AtomicBool;
#[cfg(all(test, wsx_model))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
/// loom repeats each order of the threads, so the hash must not be random.
#[cfg(all(test, wsx_model))]
pub(crate) type RandomState = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
