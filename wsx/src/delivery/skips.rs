//! The numbers of messages that are never sent, with the reasons. They are kept until the peer has
//! acknowledged them. It does not know the messages.
use crate::delivery::Why;
use std::collections::BTreeMap;

/// Maximum number of ranges. The two oldest become one with an unknown reason.
const MAX_RANGES: usize = 64;

/// Ranges of numbers, by the first one.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone, Hash))]
pub(super) struct Skips(BTreeMap<u64, (u64, Why)>);

impl Skips {
    /// Adds a range. Returns the range that has it now, with its last number, and the first numbers
    /// of ranges that are part of it now. Returns `None` if another range has it already: joined
    /// ranges also have the numbers between them, of which some may be messages that wait.
    pub(super) fn add(&mut self, from: u64, to: u64, why: Why) -> Option<(u64, u64, Vec<u64>)> {
        let before = self.0.range(..=from).next_back().map(|(first, (last, why))| (*first, *last, *why));
        if before.is_some_and(|(_, last, _)| last >= to) {
            return None;
        }
        let mut replaced: Vec<u64> = self.0.range(from..=to).map(|(first, _)| *first).collect();
        let (mut first, mut last) = (from, to);
        if let Some((before, _, _)) = before.filter(|(_, last, reason)| last + 1 == from && *reason == why) {
            first = before;
            replaced.push(before);
        }
        if let Some((end, _)) = self.0.get(&(to + 1)).filter(|(_, reason)| *reason == why) {
            last = *end;
            replaced.push(to + 1);
        }
        for part in &replaced {
            self.0.remove(part);
        }
        self.0.insert(first, (last, why));
        Some((first, last, replaced))
    }

    /// Joins the two oldest ranges if there are too many. Returns the joined range and the first
    /// number of the range that is gone.
    pub(super) fn shorten(&mut self) -> Option<(u64, u64, u64)> {
        if self.0.len() <= MAX_RANGES {
            return None;
        }
        let (from, _) = self.0.pop_first()?;
        let (second, (to, _)) = self.0.pop_first()?;
        self.0.insert(from, (to, Why::Unknown));
        Some((from, to, second))
    }

    /// Returns the end of the skip that begins at this number, and its reason, if the next message
    /// has a later number. Numbers without a reason never were messages.
    pub(super) fn before(&self, from: u64, next: Option<u64>) -> Option<(u64, Why)> {
        if next == Some(from) {
            return None;
        }
        let known = self.0.range(..=from).next_back().filter(|(_, (to, _))| *to >= from);
        if let Some((_, &(to, why))) = known {
            return Some((next.map_or(to, |next| to.min(next - 1)), why));
        }
        let until = self.0.range(from..).next().map(|(first, _)| *first);
        let end = next.into_iter().chain(until).min()?;
        Some((end - 1, Why::Void))
    }

    /// Forgets the ranges up to this number. Returns their first numbers.
    pub(super) fn end(&mut self, number: u64) -> Vec<u64> {
        let ended: Vec<u64> = self.0.iter().filter(|(_, (to, _))| *to <= number).map(|(from, _)| *from).collect();
        for from in &ended {
            self.0.remove(from);
        }
        ended
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.0.keys().next().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    /// Row G8: every missing number has one reason, and numbers that never were messages are void.
    #[test]
    fn every_number_before_the_next_message_is_explained() {
        let mut skips = Skips::default();
        assert_eq!(skips.before(5, None), None);
        assert_eq!(skips.before(5, Some(5)), None);
        assert_eq!(skips.before(5, Some(8)), Some((7, Why::Void)));
        assert_eq!(skips.add(6, 6, Why::Expired), Some((6, 6, Vec::new())));
        assert_eq!(skips.add(7, 7, Why::Expired), Some((6, 7, vec![6])));
        assert_eq!(skips.add(8, 8, Why::Full), Some((8, 8, Vec::new())));
        assert_eq!(skips.add(5, 5, Why::Expired), Some((5, 7, vec![6])));
        assert_eq!(skips.before(3, Some(12)), Some((4, Why::Void)));
        assert_eq!(skips.before(5, Some(12)), Some((7, Why::Expired)));
        assert_eq!(skips.before(6, None), Some((7, Why::Expired)));
        assert_eq!(skips.before(8, Some(12)), Some((8, Why::Full)));
        assert_eq!(skips.before(9, Some(12)), Some((11, Why::Void)));
        assert_eq!(skips.before(9, None), None);
        assert_eq!(skips.end(7), [5]);
        assert_eq!((skips.first(), skips.is_empty()), (Some(8), false));
    }

    #[test]
    fn the_ranges_are_bounded() {
        let mut skips = Skips::default();
        for number in 0..=MAX_RANGES as u64 {
            assert_eq!(skips.shorten(), None);
            skips.add(2 * number + 1, 2 * number + 1, Why::Expired);
        }
        assert_eq!(skips.shorten(), Some((1, 3, 3)));
        assert_eq!((skips.before(1, None), skips.shorten()), (Some((3, Why::Unknown)), None));
    }
    /// Row G8: a number inside of a joined range keeps that range as it is.
    #[test]
    fn a_joined_range_keeps_its_numbers() {
        let mut skips = Skips::default();
        for number in (1..400).step_by(2) {
            skips.add(number, number, Why::Expired);
            skips.shorten();
        }
        let (last, _) = skips.0[&1];
        assert!(last > 200);
        assert_eq!((skips.add(2, 2, Why::Full), skips.shorten()), (None, None));
        assert_eq!(skips.before(3, None), Some((last, Why::Unknown)));
        assert_eq!(skips.before(3, Some(6)), Some((5, Why::Unknown)));
        assert_eq!(skips.add(1, 400, Why::Dropped).map(|(from, to, _)| (from, to)), Some((1, 400)));
        assert_eq!(skips.0.len(), 1, "its parts are gone");
    }

    /// Row G8: whatever is skipped and in whatever order, each skipped number is explained, and is
    /// never taken for one that was not a message. Other numbers are explained only between joined
    /// ranges.
    #[test]
    fn random_skips_are_all_explained() {
        use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};
        use std::collections::BTreeSet;

        for seed in 0..200 {
            let mut random = SmallRng::seed_from_u64(seed);
            let (mut skips, mut records) = (Skips::default(), BTreeMap::new());
            let (mut skipped, mut exact) = (BTreeSet::new(), true);
            let mut numbers: Vec<u64> = (1..=random.random_range(10..400)).collect();
            let last = numbers.len() as u64 + 1;
            numbers.shuffle(&mut random);
            numbers.truncate(random.random_range(0..=numbers.len()));
            let mut handled = 0;
            for number in numbers.into_iter().filter(|number| number % 3 != seed % 4) {
                if number <= handled {
                    continue;
                }
                let why = [Why::Expired, Why::Full, Why::Dropped][random.random_range(0..3)];
                skipped.insert(number);
                if let Some((from, to, parts)) = skips.add(number, number, why) {
                    records.retain(|first, _| !parts.contains(first));
                    records.insert(from, (to, why));
                }
                if let Some((from, to, gone)) = skips.shorten() {
                    exact = false;
                    records.remove(&gone);
                    records.insert(from, (to, Why::Unknown));
                }
                if random.random_bool(0.01) {
                    handled = random.random_range(handled..last);
                    let ended = skips.end(handled);
                    records.retain(|first, _| !ended.contains(first));
                }
                assert_eq!(skips.0, records, "seed {seed}: the store has other ranges");
            }
            assert!(skips.0.len() <= MAX_RANGES);
            // What an end of the connection learns, from one message that waits to the next.
            let (mut from, mut explained) = (handled + 1, BTreeSet::new());
            while let Some((to, why)) = skips.before(from, Some(last)) {
                if why != Why::Void {
                    explained.extend(from..=to);
                }
                from = to + 1;
            }
            assert_eq!(from, last, "seed {seed}: numbers are not explained");
            let skipped = skipped.split_off(&(handled + 1));
            assert!(skipped.is_subset(&explained), "seed {seed}: {skipped:?} are skipped, {explained:?} explained");
            assert!(!exact || skipped == explained, "seed {seed}: {skipped:?} are skipped, {explained:?} explained");
        }
    }
}
