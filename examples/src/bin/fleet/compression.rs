//! `--compress`: the configuration of both ends, and how much shorter the messages became.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wsx::connection::Compression;
use wsx::{Config, Connection, Deflate, Interest, Observer};

/// A cloneable handle of the counts. It is an observer, which adds to them.
#[derive(Debug, Clone)]
pub(crate) struct Compressing(Option<Arc<Total>>);

/// The compressed messages of all connections, in both directions.
#[derive(Debug, Default)]
struct Total {
    /// Their length before compression, in bytes.
    plain: AtomicU64,
    /// Their length on the wire, in bytes.
    wire: AtomicU64,
}

impl Compressing {
    pub(crate) fn new(is_on: bool) -> Self {
        Self(is_on.then(Arc::default))
    }

    /// Returns the same option with counts of its own. The other end in this process uses it, so
    /// that no message counts twice.
    pub(crate) fn uncounted(&self) -> Self {
        Self::new(self.0.is_some())
    }

    #[cfg(feature = "nats")]
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn config(&self) -> Config {
        let config = Config::edge();
        if self.0.is_some() { config.deflate(Deflate::default()) } else { config }
    }

    /// Returns a sentence, if messages were compressed.
    pub(crate) fn ratio(&self) -> Option<String> {
        let total = self.0.as_ref()?;
        let (plain, wire) = (total.plain.load(Relaxed), total.wire.load(Relaxed));
        let percent = (wire * 100).checked_div(plain)?;
        Some(format!("compressed {plain} bytes to {wire} ({percent} %)"))
    }
}

impl Observer for Compressing {
    fn interest(&self) -> Interest {
        if self.0.is_some() { Interest::nothing().with_messages() } else { Interest::nothing() }
    }

    fn messages_compressed(&self, _: &Connection, compression: &Compression) {
        if let Some(total) = &self.0 {
            total.plain.fetch_add(compression.plain_bytes, Relaxed);
            total.wire.fetch_add(compression.wire_bytes, Relaxed);
        }
    }
}
