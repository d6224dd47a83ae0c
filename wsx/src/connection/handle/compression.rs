//! What a handle knows of the compression of its connection.
use crate::{
    connection::handle::Handle,
    wire::{
        deflate::{Agreed, Compression},
        write::Frame,
    },
};
#[cfg(feature = "deflate")]
use std::sync::atomic::Ordering;

impl Handle {
    /// Sets what both ends agreed on, if they did. Only the first call counts: it comes before the
    /// task starts.
    #[cfg(feature = "deflate")]
    pub(crate) fn set_compression(&self, agreed: Option<Agreed>) {
        let Some(agreed) = agreed else { return };
        let _ = self.extra().compression.set(agreed);
        self.0.compresses.store(agreed.own.is_some(), Ordering::Relaxed);
    }

    #[cfg(not(feature = "deflate"))]
    pub(crate) fn set_compression(&self, _: Option<Agreed>) {}

    /// Returns what both ends agreed on, if they did.
    #[cfg(feature = "deflate")]
    pub(crate) fn compression(&self) -> Option<Agreed> {
        self.0.extra.get()?.compression.get().copied()
    }

    /// Whether this end compresses.
    #[cfg(feature = "deflate")]
    #[inline]
    pub(crate) fn compresses(&self) -> bool {
        self.0.compresses.load(Ordering::Relaxed)
    }

    #[cfg(not(feature = "deflate"))]
    pub(crate) fn compression(&self) -> Option<Agreed> {
        None
    }

    #[cfg(not(feature = "deflate"))]
    #[inline]
    pub(crate) fn compresses(&self) -> bool {
        false
    }

    /// Marks a frame that is queued next, if the writer may compress it.
    #[inline]
    pub(crate) fn mark(&self, frame: &mut Frame) {
        if self.compresses() {
            frame.mark();
        }
    }

    /// Reports what was compressed or inflated.
    #[cold]
    pub(crate) fn report_compression(&self, work: &Compression) {
        if let Some(watch) = self.watch() {
            watch.compressed(self, work);
        }
    }
}
