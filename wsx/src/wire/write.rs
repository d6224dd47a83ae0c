//! Encodes outgoing frames (RFC 6455 section 5.2): header, mask and payload in one piece of memory.
//! It does not know envelopes or sockets.
use crate::wire::{
    close_code::CloseCode,
    header::{MARK, MAX_CONTROL, MAX_HEADER, Opcode},
    long_memory::{self, MIN_LONG},
    mask::mask,
    role::Role,
};
use bytes::Bytes;
use std::{cell::Cell, ops::Range};

/// First memory of a buffer, in bytes.
const MIN_BUFFER: usize = 1024;

thread_local! {
    /// The buffer for the next frame. It is missing after a long frame.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A finished frame, still in the buffer in which it was written. Dropping it returns the buffer to
/// the thread, or to the program if it is long.
#[derive(Debug)]
pub struct Frame {
    buffer: Vec<u8>,
    start: usize,
    /// The type of its message, if that is a constant of the program; otherwise empty. An observer
    /// counts by it.
    pub(crate) message_type: &'static str,
    /// Whether the message may be compressed.
    pub(crate) may_shrink: bool,
}

impl Frame {
    /// Marks the frame of a message that may be compressed. The writer of its connection takes the
    /// mark off.
    #[cold]
    pub(crate) fn mark(&mut self) {
        if self.may_shrink {
            self.buffer[self.start] |= MARK;
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Returns the payload, which is masked in the frame of a client.
    #[cfg(feature = "nats")]
    pub(crate) fn payload(&self) -> &[u8] {
        &self.buffer[MAX_HEADER..]
    }

    /// Returns the length of the payload, in bytes.
    pub(crate) fn payload_len(&self) -> usize {
        self.buffer.len() - MAX_HEADER
    }

    /// Returns the frame in memory of its size. A long frame keeps its buffer, because a copy would
    /// write to twice as much memory.
    #[inline]
    pub(crate) fn into_bytes(self) -> Bytes {
        if self.buffer.len() < MIN_LONG { Bytes::copy_from_slice(self.as_bytes()) } else { self.into_long_bytes() }
    }

    #[cold]
    fn into_long_bytes(mut self) -> Bytes {
        let length = self.buffer.len();
        // A queue counts the length.
        if self.buffer.capacity() > length + length / 8 {
            self.buffer.shrink_to_fit();
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        if self.buffer.capacity() < MIN_LONG {
            // The thread may be ending, and may have dropped its buffer already.
            let _ = SCRATCH.try_with(|scratch| scratch.set(std::mem::take(&mut self.buffer)));
        } else {
            let is_long = self.buffer.len() >= MIN_LONG;
            long_memory::keep(std::mem::take(&mut self.buffer));
            if !is_long {
                let _ = SCRATCH.try_with(|scratch| scratch.set(Vec::with_capacity(MIN_BUFFER)));
            }
        }
    }
}

/// A frame whose payload is written and whose header is not.
#[derive(Debug)]
pub(crate) struct Draft(Frame);

impl Draft {
    /// Returns the type of the message, as [`Frame::message_type`].
    pub(crate) fn message_type(&self) -> &'static str {
        self.0.message_type
    }

    /// Whether the message may be compressed, as [`Frame::may_shrink`].
    #[cfg(feature = "nats")]
    pub(crate) fn may_shrink(&self) -> bool {
        self.0.may_shrink
    }

    /// Sets whether the message may be compressed, as [`Frame::may_shrink`].
    pub(crate) fn set_may_shrink(&mut self, may_shrink: bool) {
        self.0.may_shrink = may_shrink;
    }

    /// Returns the payload, to read or to change it.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.0.buffer[MAX_HEADER..]
    }

    /// Replaces a part of the payload. The range counts from its start.
    pub(crate) fn replace(&mut self, range: Range<usize>, text: &[u8]) {
        let range = MAX_HEADER + range.start..MAX_HEADER + range.end;
        self.0.buffer.splice(range, text.iter().copied());
    }

    /// Masks the payload and writes the header.
    #[inline]
    pub(crate) fn finish(self, opcode: Opcode, role: Role) -> Frame {
        let Self(mut frame) = self;
        frame.start = write_header(&mut frame.buffer, opcode, role);
        frame
    }
}

/// Encodes a frame. `write` appends the payload. `message_type` is [`Frame::message_type`].
#[inline]
pub(crate) fn encode<E>(
    opcode: Opcode,
    role: Role,
    message_type: &'static str,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Frame, E> {
    let mut frame = fill(message_type, write)?;
    frame.start = write_header(&mut frame.buffer, opcode, role);
    Ok(frame)
}

/// Encodes the payload of a frame; otherwise as [`encode`].
#[inline]
pub(crate) fn draft<E>(
    message_type: &'static str,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Draft, E> {
    fill(message_type, write).map(Draft)
}

/// Returns a frame with its payload alone.
#[inline]
fn fill<E>(message_type: &'static str, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Frame, E> {
    // Taken, not borrowed: the application's `Serialize` runs inside of `write`, and may encode a
    // message itself.
    let mut frame = Frame { buffer: buffer(), start: 0, message_type, may_shrink: false };
    frame.buffer.clear();
    frame.buffer.extend_from_slice(&[0; MAX_HEADER]);
    write(&mut frame.buffer)?;
    Ok(frame)
}

/// Returns memory for the next frame of this thread.
#[inline]
fn buffer() -> Vec<u8> {
    let buffer = SCRATCH.take();
    // The frame after a long one is expected to be long too.
    if buffer.capacity() == 0 { long_memory::take(MIN_LONG, usize::MAX).unwrap_or_default() } else { buffer }
}

/// Encodes a frame with this payload.
pub(crate) fn frame(opcode: Opcode, role: Role, payload: &[u8]) -> Bytes {
    with_payload(opcode, role, payload).into_bytes()
}

/// Encodes a message with this payload, which may be compressed.
pub(crate) fn data_frame(opcode: Opcode, role: Role, payload: &[u8]) -> Frame {
    let mut frame = with_payload(opcode, role, payload);
    frame.may_shrink = true;
    frame
}

fn with_payload(opcode: Opcode, role: Role, payload: &[u8]) -> Frame {
    let result = encode(opcode, role, "", |buffer| {
        buffer.extend_from_slice(payload);
        Ok::<_, std::convert::Infallible>(())
    });
    match result {
        Ok(frame) => frame,
        Err(never) => match never {},
    }
}

/// Encodes a close frame. With [`CloseCode::NO_STATUS`] its payload is empty (RFC 6455 section
/// 7.4.1). A reason that is too long is cut between two characters.
pub(crate) fn close_frame(role: Role, code: CloseCode, reason: &str) -> Bytes {
    if code == CloseCode::NO_STATUS {
        return frame(Opcode::CLOSE, role, &[]);
    }
    let mut payload = u16::from(code).to_be_bytes().to_vec();
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    frame(Opcode::CLOSE, role, &payload)
}

/// Masks the payload, which begins at `MAX_HEADER`, and writes the header directly before it.
/// Returns the position where the frame begins.
#[inline]
fn write_header(buffer: &mut [u8], opcode: Opcode, role: Role) -> usize {
    let (header, payload) = buffer.split_at_mut(MAX_HEADER);
    let (mask_bit, mut start) = match role {
        Role::Server => (0, MAX_HEADER),
        // A client masks every frame with a new, unpredictable key (sections 5.3 and 10.3).
        Role::Client => {
            let key: [u8; 4] = rand::random();
            mask(payload, key);
            header[MAX_HEADER - 4..].copy_from_slice(&key);
            (0x80, MAX_HEADER - 4)
        }
    };
    let length_code = match payload.len() {
        // The casts do not cut off anything: the range of each arm fits its type.
        length @ 0..126 => length as u8,
        length @ 126..65536 => {
            start -= 2;
            header[start..start + 2].copy_from_slice(&(length as u16).to_be_bytes());
            126
        }
        length => {
            start -= 8;
            header[start..start + 8].copy_from_slice(&(length as u64).to_be_bytes());
            127
        }
    };
    start -= 2;
    header[start] = opcode.whole();
    header[start + 1] = mask_bit | length_code;
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the unmasked payload of a frame, and checks the length in its header.
    fn payload(frame: &[u8]) -> Vec<u8> {
        let masked = frame[1] & 0x80 != 0;
        let (length, mut at) = match frame[1] & 0x7f {
            126 => (u64::from(u16::from_be_bytes([frame[2], frame[3]])), 4),
            127 => (u64::from_be_bytes(frame[2..10].try_into().unwrap()), 10),
            n => (u64::from(n), 2),
        };
        let key = if masked {
            at += 4;
            frame[at - 4..at].to_vec()
        } else {
            vec![0; 4]
        };
        let body: Vec<u8> = frame[at..].iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
        assert_eq!(body.len() as u64, length);
        body
    }

    /// Row C3: the lengths at which the form of the header changes.
    #[test]
    fn a_frame_of_any_length_carries_its_payload_in_both_roles() {
        let _alone = long_memory::alone();
        for length in [0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 70_001, MIN_LONG, MIN_LONG + 1] {
            let sent: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            for role in [Role::Server, Role::Client] {
                let frame = frame(Opcode::BINARY, role, &sent);
                assert_eq!(frame[0], 0x82);
                assert_eq!(frame[1] & 0x80 != 0, role == Role::Client);
                assert_eq!(payload(&frame), sent, "{length} bytes as {role:?}");
            }
        }
    }

    #[test]
    fn each_frame_of_a_client_has_its_own_mask_key() {
        let keys: std::collections::HashSet<_> =
            (0..64).map(|_| frame(Opcode::TEXT, Role::Client, b"x")[2..6].to_vec()).collect();
        assert!(keys.len() > 60, "{} keys in 64 frames", keys.len());
    }

    #[test]
    fn a_close_frame_carries_code_and_a_reason_cut_at_a_character() {
        assert_eq!(payload(&close_frame(Role::Server, CloseCode::NORMAL, "bye")), b"\x03\xe8bye");
        assert_eq!(payload(&close_frame(Role::Server, CloseCode::NO_STATUS, "never sent")), b"");
        let long = payload(&close_frame(Role::Server, CloseCode::GOING_AWAY, &"ü".repeat(100)));
        assert_eq!(long.len(), 2 + 122);
        assert!(std::str::from_utf8(&long[2..]).is_ok());
    }

    #[test]
    fn a_payload_that_fails_to_encode_does_not_damage_the_next_frame() {
        let failed = encode(Opcode::TEXT, Role::Server, "", |buffer| {
            buffer.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(failed.map(Frame::into_bytes), Err("no"));
        assert_eq!(frame(Opcode::TEXT, Role::Server, b"whole"), &b"\x81\x05whole"[..]);
    }

    /// Encodes a frame of a server around a payload of this length.
    fn encoded(length: usize) -> Frame {
        encode(Opcode::BINARY, Role::Server, "", |buffer| {
            buffer.resize(buffer.len() + length, 7);
            Ok::<_, ()>(())
        })
        .expect("the payload is encoded")
    }

    /// Returns the size of the thread's buffer, and leaves the thread without one.
    fn thread_buffer() -> usize {
        SCRATCH.take().capacity()
    }

    /// Returns the size of the program's piece of memory, and leaves the program without one.
    fn program_piece() -> usize {
        long_memory::take(0, usize::MAX).map_or(0, |piece| piece.capacity())
    }

    /// The buffer of a short frame stays in the thread, and that of a long one does not.
    #[test]
    fn the_buffer_of_a_frame_is_kept_by_the_thread_or_the_program() {
        let _alone = long_memory::alone();
        let shorter = 256 * 1024 - MAX_HEADER - 1;
        for (length, reserved, thread, program) in [
            (5, 100, 100, 0),
            (shorter, 256 * 1024 - 1, 256 * 1024 - 1, 0),
            // The frame after a long one is long too.
            (shorter + 1, 256 * 1024, 0, 256 * 1024),
            // A short frame in a long buffer ends that.
            (5, 256 * 1024, 1024, 256 * 1024),
            (shorter, 256 * 1024, 1024, 256 * 1024),
        ] {
            SCRATCH.set(Vec::with_capacity(reserved));
            drop(encoded(length));
            assert_eq!((thread_buffer(), program_piece()), (thread, program), "{length} bytes");
        }
    }

    #[test]
    fn a_thread_without_a_buffer_takes_that_of_the_program() {
        let _alone = long_memory::alone();
        long_memory::keep(Vec::with_capacity(300_000));
        thread_buffer();
        let frame = encoded(5);
        assert_eq!((frame.buffer.capacity(), program_piece()), (300_000, 0));
        SCRATCH.set(Vec::with_capacity(100));
        long_memory::keep(Vec::with_capacity(300_000));
        assert_eq!(encoded(5).buffer.capacity(), 100);
    }

    #[test]
    fn a_long_frame_keeps_its_buffer_unless_an_eighth_is_unused() {
        let _alone = long_memory::alone();
        // With the room for a header.
        for (length, reserved, kept) in [
            (256 * 1024 - 1, 270_000, 0),
            (256 * 1024, 262_144 + 32_768, 262_144 + 32_768),
            (256 * 1024, 262_144 + 32_769, 262_144),
            (400_000, 450_000, 450_000),
            (400_000, 450_001, 400_000),
        ] {
            SCRATCH.set(Vec::with_capacity(reserved));
            let bytes = encoded(length - MAX_HEADER).into_bytes();
            program_piece();
            drop(bytes);
            assert_eq!(program_piece(), kept, "{length} bytes in {reserved}");
        }
    }
}
