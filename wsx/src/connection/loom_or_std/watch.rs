//! A stand-in for `tokio::sync::watch` with a lock of loom. tokio's calls the program under a lock
//! that loom does not see, and a thread that loom stops there would block the others for good.
#![allow(
    missing_debug_implementations,
    unnameable_types,
    unreachable_pub,
    reason = "`Client::state` is public, and returns a receiver"
)]
use super::model::lock;
use loom::sync::Mutex;
use std::{
    fmt,
    future::poll_fn,
    ops::Deref,
    sync::Arc,
    task::{Poll, Waker},
};

struct Shared<T>(Mutex<(T, Vec<Waker>)>);

pub(crate) struct Sender<T>(Arc<Shared<T>>);
pub struct Receiver<T>(Arc<Shared<T>>);
/// A copy of the value.
pub(crate) struct Ref<T>(T);
/// Never made, because a `Status` has its own sender.
pub(crate) struct RecvError;

impl<T: Copy> Sender<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Shared(Mutex::new((value, Vec::new())))))
    }

    pub(crate) fn send_replace(&self, value: T) {
        self.send_modify(|old| *old = value);
    }

    pub(crate) fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) {
        let mut state = lock(&self.0.0);
        let wakers = if modify(&mut state.0) { std::mem::take(&mut state.1) } else { Vec::new() };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn borrow(&self) -> Ref<T> {
        Ref(lock(&self.0.0).0)
    }

    pub(crate) fn subscribe(&self) -> Receiver<T> {
        Receiver(self.0.clone())
    }
}

impl<T: Copy> Receiver<T> {
    pub(crate) async fn wait_for(&mut self, mut done: impl FnMut(&T) -> bool) -> Result<Ref<T>, RecvError> {
        poll_fn(|cx| {
            let mut state = lock(&self.0.0);
            if done(&state.0) {
                return Poll::Ready(Ok(Ref(state.0)));
            }
            state.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl<T> Deref for Ref<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}
