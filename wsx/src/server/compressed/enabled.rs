//! The compressed frames of a broadcast. Connections with the same parameters and without a context
//! share one. This module does not queue frames.
use crate::{
    config::Config,
    connection::handle::Handle,
    wire::{
        deflate::{Compression, Direction, Stream, compress},
        header::{Header, MARK},
        write::Frame,
    },
};
use bytes::Bytes;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The frames of one broadcast. For a connection with a context, the writer of the connection
/// compresses the message.
pub(super) struct Variants(Mutex<Made>);

#[derive(Default)]
struct Made {
    /// The frame for the writers of connections with a context.
    marked: Option<Bytes>,
    /// The frames for all others, by their parameters.
    compressed: Vec<Shared>,
}

/// A compressed frame that connections share.
struct Shared {
    stream: Stream,
    /// The frame and the length of its payload. `None` if the message does not get shorter.
    frame: Option<(Bytes, usize)>,
    /// The time of the compression, until a connection has reported it.
    elapsed: Duration,
}

impl Variants {
    /// Returns `None` if the hub does not compress the message for anyone.
    ///
    /// The frame for the parameters of the hub is made here, and those for smaller windows of peers
    /// when they are [missing](Self::is_missing).
    pub(super) fn of(frame: &Frame, config: &Config) -> Option<Self> {
        let options = config.deflate?;
        if !frame.may_shrink || frame.payload_len() < options.min_size {
            return None;
        }
        let mut made = Made::default();
        let stream = Stream::of_server(&options);
        if !stream.keeps_context {
            made.compressed.push(Shared::new(stream, frame.as_bytes()));
        }
        Some(Self(Mutex::new(made)))
    }

    /// Whether the frame for this connection has to be compressed first. That is not done under the
    /// lock of the registry.
    pub(super) fn is_missing(&self, conn: &Handle) -> bool {
        let Some(stream) = conn.compression().and_then(|agreed| agreed.own) else { return false };
        !stream.keeps_context && !self.lock().compressed.iter().any(|shared| shared.stream == stream)
    }

    /// Returns the frame for a connection, if it differs from the plain one.
    pub(super) fn frame(&self, plain: &Bytes, conn: &Handle) -> Option<Bytes> {
        let stream = conn.compression()?.own?;
        let mut made = self.lock();
        if stream.keeps_context {
            let marked = || {
                let mut bytes = plain.to_vec();
                bytes[0] |= MARK;
                bytes.into()
            };
            return Some(made.marked.get_or_insert_with(marked).clone());
        }
        let at = made.compressed.iter().position(|shared| shared.stream == stream).unwrap_or_else(|| {
            made.compressed.push(Shared::new(stream, plain));
            made.compressed.len() - 1
        });
        made.compressed[at].frame.as_ref().map(|(frame, _)| frame.clone())
    }

    /// Reports the compression of a message of this length, which the connection has accepted.
    pub(super) fn report(&self, plain: usize, conn: &Handle) {
        let Some(stream) = conn.compression().and_then(|agreed| agreed.own) else { return };
        let mut made = self.lock();
        let Some(shared) = made.compressed.iter_mut().find(|shared| shared.stream == stream) else { return };
        let Some((_, length)) = shared.frame else { return };
        let mut compression = Compression::none(Direction::Sent);
        compression.add(plain, length, std::mem::take(&mut shared.elapsed));
        drop(made);
        conn.report_compression(&compression);
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn new(stream: Stream, plain: &[u8]) -> Self {
        let header = Header::parse(plain).expect("the frame is finished");
        let (frame, elapsed) = compress(stream, header.opcode(), &plain[header.size..]);
        let frame = frame.map(|frame| {
            let length = frame.payload_len();
            (frame.into_bytes(), length)
        });
        Self { stream, frame, elapsed }
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{
        config::Deflate,
        wire::{deflate::Agreed, header::Opcode, role::Role, write::data_frame},
    };

    /// Row Z11: connections with the same parameters share the memory of one compression.
    #[test]
    fn connections_with_the_same_parameters_share_one_frame() {
        let config = Config::default().deflate(Deflate::default());
        let frame = data_frame(Opcode::TEXT, Role::Server, &[b'x'; 200]);
        let variants = Variants::of(&frame, &config).expect("the hub compresses it");
        let plain = frame.into_bytes();
        let stream = |window_bits, keeps_context| Stream { window_bits, keeps_context, level: 6 };
        let made = |own| {
            let conn = Handle::new("".into(), Role::Server, &config);
            conn.set_compression(Some(Agreed { own, peer: stream(10, true), min_size: 64 }));
            variants.frame(&plain, &conn)
        };
        let memory = |frame: &Option<Bytes>| frame.as_ref().expect("it is compressed").as_ptr();
        for own in [stream(10, false), stream(9, false), stream(10, true)] {
            let (one, other) = (made(Some(own)), made(Some(own)));
            assert_eq!(memory(&one), memory(&other), "{own:?}");
        }
        assert_eq!(variants.lock().compressed.len(), 2);
        for (own, is_missing) in [(stream(10, false), false), (stream(10, true), false), (stream(11, false), true)] {
            let conn = Handle::new("".into(), Role::Server, &config);
            conn.set_compression(Some(Agreed { own: Some(own), peer: own, min_size: 64 }));
            assert_eq!(variants.is_missing(&conn), is_missing, "{own:?}");
        }
        assert!(made(None).is_none(), "this connection reads compressed messages only");
        assert!(variants.frame(&plain, &Handle::new("".into(), Role::Server, &config)).is_none());
    }
}
