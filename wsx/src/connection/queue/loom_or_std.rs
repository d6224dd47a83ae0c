//! The lock of the queue: that of std, or that of loom when loom checks every order of the threads.

#[cfg(all(test, wsx_model))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, wsx_model)))]
pub(crate) use std::sync::{Mutex, MutexGuard};
