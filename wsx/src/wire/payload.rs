//! The payload of a frame while it arrives: its memory, and its mask (RFC 6455 section 5.3). It
//! does not know what the frame means.
use crate::wire::{
    header::Header,
    long_memory::{self, MIN_LONG},
    mask::mask,
    read_buffer::Input,
};

/// A message gets memory for at most this many times its received bytes. Otherwise a peer could
/// reserve memory for a long message with a header alone.
///
/// All received bytes of the message count, not only those of the current frame. So the memory is
/// in proportion to the traffic that the peer has paid for, and a long fragment after another one
/// is not copied again and again.
const MAX_RESERVED_RATIO: usize = 16;
/// The first memory of a message whose length is not known yet. Tiny fragments need few copies.
const MIN_RESERVED: usize = 64;

/// Returns the bytes of a message that is one frame and has arrived completely. `memory` is empty
/// memory for it.
#[inline]
pub(super) fn whole(header: Header, arrived: &[u8], mut memory: Vec<u8>) -> Vec<u8> {
    if memory.capacity() < arrived.len() {
        memory.reserve_exact(arrived.len());
    }
    memory.extend_from_slice(arrived);
    if header.masked {
        mask(&mut memory, header.mask_key);
    }
    memory
}

/// A frame whose payload is not complete.
pub(super) struct Payload {
    /// Its mask key is rotated to the next byte.
    header: Header,
    /// The message: earlier fragments, then the received part of this frame.
    bytes: Vec<u8>,
    /// The number of bytes of the frame that have not arrived.
    missing: usize,
}

impl Payload {
    /// `earlier` has the earlier fragments of the message.
    pub(super) fn new(header: Header, length: usize, earlier: Vec<u8>) -> Self {
        Self { header, bytes: earlier, missing: length }
    }

    /// Appends the bytes that have arrived. Returns the header and the bytes of the message if the
    /// frame is complete. The memory of a message stays within `limit`.
    pub(super) fn append(&mut self, input: &mut Input, limit: usize) -> Option<(Header, Vec<u8>)> {
        let arrived = input.take(self.missing);
        if self.bytes.capacity() - self.bytes.len() < arrived.len() {
            self.reserve(self.bytes.len() + arrived.len(), limit);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(arrived);
        self.unmask(start);
        (self.missing == 0).then(|| (self.header, std::mem::take(&mut self.bytes)))
    }

    /// Returns the size of the message's memory.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Unmasks the bytes from this position on, which have just arrived.
    fn unmask(&mut self, start: usize) {
        let arrived = self.bytes.len() - start;
        if self.header.masked {
            mask(&mut self.bytes[start..], self.header.mask_key);
            self.header.mask_key.rotate_left(arrived % 4);
        }
        self.missing -= arrived;
    }

    /// Reserves memory for more bytes, after `received` bytes of the message.
    ///
    /// Exactly as much as the frame needs, if the received bytes justify that. At least as much as
    /// there is, so that a message in tiny fragments is not copied for each of them. And not more
    /// than the message can need.
    #[cold]
    fn reserve(&mut self, received: usize, limit: usize) {
        let length = self.bytes.len();
        let most = if self.header.is_final() { self.missing } else { limit - length };
        let justified = received.saturating_mul(MAX_RESERVED_RATIO) - length;
        let more = self.missing.min(justified).max(length).max(MIN_RESERVED);
        let more = more.min(most);
        if length + more >= MIN_LONG {
            if let Some(mut kept) = long_memory::take(length + more, limit) {
                kept.extend_from_slice(&self.bytes);
                self.bytes = kept;
                return;
            }
        }
        self.bytes.reserve_exact(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 30;

    /// Returns the size of the memory after the first bytes of a frame of `length` bytes. The
    /// message has earlier bytes, in memory of exactly their size.
    fn reserved(first_byte: u8, length: u64, earlier: usize, arrived: usize) -> usize {
        let header = [&[first_byte, 127][..], &length.to_be_bytes()].concat();
        let header = Header::parse(&header).expect("the header is complete");
        let earlier = vec![1; earlier];
        let mut payload = Payload::new(header, length as usize, earlier);
        assert!(payload.append(&mut Input::with_bytes(vec![2; arrived]), LIMIT).is_none());
        payload.capacity()
    }

    #[test]
    fn memory_is_reserved_for_the_frame_as_far_as_the_received_bytes_justify_it() {
        let (last, first) = (0x82, 0x02);
        for (first_byte, length, earlier, arrived, size) in [
            // 16 times the received bytes, of the whole message.
            (last, 100_000, 0, 10, 160),
            (last, 100_000, 100, 10, 1760),
            // The frame is shorter.
            (last, 1000, 0, 100, 1000),
            (last, 1000, 100, 100, 1100),
            // As much again as there is, or 64 bytes, but the message ends here.
            (last, 100, 1000, 1, 1100),
            (last, 30, 0, 1, 30),
            // The same before the last fragment.
            (first, 100, 1000, 1, 2000),
            (first, 30, 0, 1, 64),
        ] {
            assert_eq!(reserved(first_byte, length, earlier, arrived), size, "{length} bytes after {earlier}");
        }
    }

    #[test]
    fn a_message_of_256_kib_gets_kept_memory() {
        // Each of the two pieces fits only the message for which it is.
        for (length, earlier, kept, taken) in [
            (256 * 1024 - 1, 0, 256 * 1024, false),
            (256 * 1024, 0, 256 * 1024, true),
            (256 * 1024 - 100, 100, 256 * 1024, true),
            (256 * 1024, 100, 256 * 1024, false),
            (256 * 1024, 100, 256 * 1024 + 100, true),
            (256 * 1024, 0, 300 * 1024, true),
        ] {
            let _alone = long_memory::alone();
            long_memory::keep(Vec::with_capacity(kept));
            let size = reserved(0x82, length, earlier, 20_000);
            assert_eq!(size, if taken { kept } else { length as usize + earlier });
            assert_eq!(long_memory::take(kept, kept).is_none(), taken, "{length} bytes after {earlier}");
        }
    }
}
