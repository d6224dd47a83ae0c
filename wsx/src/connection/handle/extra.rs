//! The state of a handle that only few connections have. It does not know what uses it.
use crate::{
    catch_panic,
    connection::{
        closure_handler::OwnHandler,
        extensions::Extensions,
        handle::{PongHandler, Start, lock},
        token_bucket::TokenBucket,
        watch::Watch,
    },
};
use http::HeaderMap;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};

/// The state that only few connections have. Each value has its own lock.
#[derive(Default)]
pub(super) struct Extra {
    /// The handlers of this connection only.
    pub(super) handlers: Mutex<HashMap<String, Arc<dyn OwnHandler>>>,
    /// The function of `on_pong`.
    pub(super) pong: Mutex<Option<PongHandler>>,
    /// The values that the program attached.
    pub(super) extensions: Mutex<Extensions>,
    /// The task of a connection made by `Connection::new`, until `start` takes it.
    pub(super) start: Mutex<Option<Start>>,
    /// What the observer wants to know of each message. Set before the first one.
    pub(super) watch: OnceLock<Arc<dyn Watch>>,
    /// The span of the connection, until its end.
    #[cfg(feature = "tracing")]
    pub(super) span: Mutex<Option<tracing::Span>>,
    /// How many failures may be reported to the peer.
    pub(super) reports: Mutex<Option<TokenBucket>>,
    /// The headers of the answer to the handshake, if it had headers of its own.
    pub(super) answer: OnceLock<Box<HeaderMap>>,
    /// How messages are compressed, if both ends agreed on it. Set before the task starts.
    #[cfg(feature = "deflate")]
    pub(super) compression: OnceLock<crate::wire::deflate::Agreed>,
}

/// The drop of a handler runs code of the program, and wsx drops the last handle of a connection in
/// its own tasks. [`Extensions`] has a guard of its own.
impl Drop for Extra {
    fn drop(&mut self) {
        let Self { handlers, pong, start, watch, .. } = self;
        for (_, handler) in lock(handlers).drain() {
            let _ = catch_panic::call(|| drop(handler));
        }
        let (pong, start) = (lock(pong).take(), lock(start).take());
        let _ = catch_panic::call(|| drop(pong));
        let _ = catch_panic::call(|| drop(start));
        let watch = watch.take();
        let _ = catch_panic::call(|| drop(watch));
        #[cfg(feature = "tracing")]
        {
            let span = lock(&self.span).take();
            let _ = catch_panic::call(|| drop(span));
        }
    }
}
