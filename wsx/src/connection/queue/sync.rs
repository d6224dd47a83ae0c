//! The queue's lock: std's, or the model checker's where that runs every order of its threads.

#[cfg(all(test, wsx_model))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, wsx_model)))]
pub(crate) use std::sync::{Mutex, MutexGuard};
