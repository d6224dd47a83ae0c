//! The memory of long messages, kept for the next long messages of the program.
//!
//! The system hands out new memory page by page. For a message of 2 MiB these are 512 page faults,
//! which cost more than reading, unmasking and checking it. So the program keeps two pieces of
//! memory: one for a message that is read, and one for a frame that is written. They belong to the
//! program, and not to a connection or a thread.
use std::sync::{Mutex, PoisonError};

/// A shorter message uses the memory of its thread.
pub(super) const MIN_LONG: usize = 256 * 1024;
/// Maximum size of each piece, in bytes: twice the longest message with the default limit.
const MAX_SIZE: usize = 4 << 20;
/// Maximum number of pieces.
const MAX_PIECES: usize = 2;

/// The pieces, in the order in which they were kept.
static PIECES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Returns empty memory with a size in this range, if there is such a piece.
#[cold]
pub(super) fn take(least: usize, most: usize) -> Option<Vec<u8>> {
    let mut pieces = PIECES.lock().unwrap_or_else(PoisonError::into_inner);
    let found = pieces.iter().position(|piece| (least..=most).contains(&piece.capacity()))?;
    Some(pieces.remove(found))
}

/// Keeps the memory of a long message. It replaces the oldest piece.
#[cold]
pub(super) fn keep(mut memory: Vec<u8>) {
    memory.clear();
    if !(MIN_LONG..=MAX_SIZE).contains(&memory.capacity()) {
        return;
    }
    let mut pieces = PIECES.lock().unwrap_or_else(PoisonError::into_inner);
    let oldest = (pieces.len() == MAX_PIECES).then(|| pieces.remove(0));
    pieces.push(memory);
    // Freeing memory takes long, so it happens without the lock.
    drop(pieces);
    drop(oldest);
}

/// Frees all pieces, and locks out the other tests that expect theirs back.
#[cfg(test)]
pub(super) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    PIECES.lock().unwrap_or_else(PoisonError::into_inner).clear();
    alone
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row F3: two pieces at most, and none that is longer than its limit.
    #[test]
    fn the_program_keeps_two_pieces_of_long_memory() {
        let _alone = alone();
        let sizes = [MIN_LONG + 1, MIN_LONG + 2, MIN_LONG + 3];
        let kept = |size: usize| take(size, size).map(|memory| memory.capacity());
        for size in sizes {
            keep(Vec::with_capacity(size));
        }
        keep(Vec::with_capacity(MAX_SIZE + 1));
        keep(Vec::with_capacity(MIN_LONG - 1));
        assert_eq!(sizes.map(kept), [None, Some(sizes[1]), Some(sizes[2])]);
        assert_eq!((kept(MAX_SIZE + 1), kept(MIN_LONG - 1), kept(sizes[1])), (None, None, None));
    }
}
