//! Runs code of the application so that a panic ends only its own connection.
//!
//! `AssertUnwindSafe` is sound here. After a panic, wsx does not use the state that the panic
//! interrupted. State that the application shares with the rest of its program has locks of its
//! own.
use futures_util::FutureExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns the result, or `None` if `code` panicked.
pub(crate) fn call<T>(code: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(code)).ok()
}

/// Returns the output, or `None` if the future panicked, in a poll or when it was dropped at its
/// end.
#[allow(clippy::redundant_async_block, reason = "the block drops the future inside of its last poll, and so guarded")]
pub(crate) async fn run<F: Future>(future: F) -> Option<F::Output> {
    AssertUnwindSafe(async move { future.await }).catch_unwind().await.ok()
}

/// A function of the application. It can be called only through the guard.
///
/// `P` is a `Box` or an `Arc` of the function.
#[derive(Clone)]
pub(crate) struct Guarded<P>(P);

impl<P> Guarded<P> {
    pub(crate) const fn new(function: P) -> Self {
        Self(function)
    }

    /// Returns the result of `code`, which calls the function, or `None` if it panicked.
    pub(crate) fn call<T>(&self, code: impl FnOnce(&P) -> T) -> Option<T> {
        call(|| code(&self.0))
    }

    /// Returns the output of the future that `code` makes with the function, or `None` if one of
    /// them panicked.
    pub(crate) async fn run<F: Future>(&self, code: impl FnOnce(&P) -> F) -> Option<F::Output> {
        run(async { code(&self.0).await }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when it is dropped.
    struct Grudge;
    impl Drop for Grudge {
        fn drop(&mut self) {
            panic!("as a test wants it");
        }
    }

    #[tokio::test]
    async fn a_panic_is_none_wherever_it_comes() {
        assert_eq!(call(|| 1), Some(1));
        assert_eq!(call(|| -> u8 { panic!("as a test wants it") }), None);
        assert_eq!(run(async { 1 }).await, Some(1));
        assert_eq!(run(async { panic!("as a test wants it") }).await, None::<u8>);
        let later = async {
            tokio::task::yield_now().await;
            panic!("as a test wants it")
        };
        assert_eq!(run(later).await, None::<u8>);
        let grudge = Grudge;
        let at_its_end = async move {
            tokio::task::yield_now().await;
            drop(grudge);
        };
        assert_eq!(run(at_its_end).await, None);
    }
}
