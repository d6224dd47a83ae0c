//! An observer that logs what was compressed.
use crate::Log;
use wsx::{
    Connection, Interest, Observer,
    connection::{Compression, Direction},
};

/// Logs what was compressed, by direction.
#[derive(Clone, Debug, Default)]
pub struct CompressionLog {
    /// What this end sent.
    pub sent: Log<Compression>,
    /// What this end received.
    pub received: Log<Compression>,
}

impl Observer for CompressionLog {
    fn interest(&self) -> Interest {
        Interest::nothing().with_messages()
    }

    fn messages_compressed(&self, _: &Connection, compression: &Compression) {
        let log = if compression.direction == Direction::Sent { &self.sent } else { &self.received };
        log.add(*compression);
    }
}
