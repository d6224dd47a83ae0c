//! The changes of a queue: each message is put, and deleted later. It does not know stores.
use crate::random::Random;
use bytes::Bytes;
use std::ops::Range;
use wsx::delivery::{Change, Store};

/// The length of a value.
const VALUE: usize = 200;

/// A queue of messages, oldest first.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Range<u64>,
    /// Whether the next change of [`changes`](Self::changes) is a delete.
    deletes: bool,
}

impl Queue {
    pub(crate) fn put(&mut self, count: u64) -> Vec<Change> {
        let from = self.waiting.end;
        self.waiting.end += count;
        (from..self.waiting.end).map(|number| Change::Put { key: key(number), value: value(number) }).collect()
    }

    pub(crate) fn delete(&mut self, count: u64) -> Vec<Change> {
        let from = self.waiting.start;
        self.waiting.start += count;
        assert!(self.waiting.start <= self.waiting.end, "a message is put before it is deleted");
        (from..self.waiting.start).map(|number| Change::Delete { key: key(number) }).collect()
    }

    /// Puts and deletes in turns, so that the number of waiting messages stays the same.
    pub(crate) fn changes(&mut self, count: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..count {
            changes.append(&mut if self.deletes { self.delete(1) } else { self.put(1) });
            self.deletes = !self.deletes;
        }
        changes
    }

    pub(crate) fn len(&self) -> u64 {
        self.waiting.end - self.waiting.start
    }

    /// Returns how many messages were put.
    pub(crate) fn total(&self) -> u64 {
        self.waiting.end
    }

    /// Panics unless the store has the waiting messages, and nothing else.
    pub(crate) fn assert_is_in(&self, store: &mut dyn Store, name: &str) {
        assert!(self.is_in(store).unwrap_or_else(|error| panic!("{name}: {error:?}")), "{name}: other content");
    }

    /// Whether the store has the waiting messages, and nothing else.
    pub(crate) fn is_in(&self, store: &mut dyn Store) -> Result<bool, wsx::delivery::StoreError> {
        let (mut count, mut right) = (0, true);
        store.load(&mut |key, value| {
            count += 1;
            right &= self.has(key, value);
        })?;
        Ok(right && count == self.len())
    }

    fn has(&self, read: &str, bytes: &[u8]) -> bool {
        let number = read.rsplit('/').next().and_then(|number| number.parse().ok());
        number.is_some_and(|number| self.waiting.contains(&number) && read == key(number) && bytes == value(number))
    }
}

/// A key as wsx makes it.
fn key(number: u64) -> String {
    format!("out//seq/{number}")
}

fn value(number: u64) -> Bytes {
    let mut random = Random(number);
    (0..VALUE / 8).flat_map(|_| random.number().to_le_bytes()).collect()
}
