//! What happened, and whether it was right. It knows neither processes nor the clock: times are
//! those since the start.
//!
//! Around a kill a request may fail. Otherwise, in calm, nothing may.
use crate::cluster::words::Asked;
use std::{fmt, time::Duration};

/// Maximum number of faults in the report. One that comes again and again would fill it.
const MAX_FAULTS: usize = 20;

/// The kill of a node.
#[derive(Debug)]
pub(crate) struct Kill {
    pub(crate) node: String,
    /// The boxes that were connected to it.
    pub(crate) boxes: usize,
    /// Time until all boxes were connected to other nodes.
    pub(crate) back: Option<Duration>,
    /// Time until the map of every other node was right.
    pub(crate) known: Option<Duration>,
}

/// Everything that is checked.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// When the cluster was not whole, from and until. The last one may last.
    unrest: Vec<(Duration, Option<Duration>)>,
    kills: Vec<Kill>,
    answered: u64,
    /// Replies that came from a box of another node.
    elsewhere: u64,
    /// Requests that failed around a kill, and in calm.
    excused: u64,
    failed: u64,
    /// Broadcasts that the boxes have received.
    beats: u64,
    missed: u64,
    /// Maps that were looked at in calm, and those of them that were wrong.
    maps: u64,
    wrong: u64,
    /// Everything that must not be, in sentences.
    faults: Vec<String>,
}

impl Facts {
    /// The cluster is not whole from now on.
    pub(crate) fn begin_unrest(&mut self, now: Duration) {
        if self.is_calm() {
            self.unrest.push((now, None));
        }
    }

    /// The cluster is whole from now on.
    pub(crate) fn end_unrest(&mut self, now: Duration) {
        if let Some((_, until @ None)) = self.unrest.last_mut() {
            *until = Some(now);
        }
    }

    pub(crate) fn is_calm(&self) -> bool {
        !matches!(self.unrest.last(), Some((_, None)))
    }

    /// Adds requests that have ended now.
    pub(crate) fn add_asked(&mut self, now: Duration, node: &str, asked: Asked) {
        self.answered += asked.answered;
        self.elsewhere += asked.elsewhere;
        let from = now.saturating_sub(Duration::from_millis(asked.took));
        let count = u64::try_from(asked.failed.len()).unwrap_or(u64::MAX);
        if self.unrest.iter().any(|(_, until)| until.is_none_or(|until| until >= from)) {
            self.excused += count;
        } else {
            self.failed += count;
            for why in asked.failed {
                self.fault(format!("{node} asked in calm, and failed: {why}"));
            }
        }
    }

    pub(crate) fn add_kill(&mut self, kill: Kill) {
        self.kills.push(kill);
    }

    /// Adds a broadcast that a box has received, and how many it has missed before that on the same
    /// connection.
    pub(crate) fn add_beat(&mut self, id: &str, missed: u64) {
        self.beats += 1;
        self.add_missed(id, missed);
    }

    /// Adds broadcasts that somebody has missed.
    pub(crate) fn add_missed(&mut self, who: &str, missed: u64) {
        if missed > 0 {
            self.missed += missed;
            self.fault(format!("{who} has missed {missed} broadcasts"));
        }
    }

    /// Adds the map of a node, with what is wrong with it.
    pub(crate) fn add_map(&mut self, problem: Option<String>) {
        if self.is_calm() {
            self.maps += 1;
            self.wrong += u64::from(problem.is_some());
            problem.into_iter().for_each(|problem| self.fault(format!("{problem}, in calm")));
        }
    }

    /// Adds something that must not be.
    pub(crate) fn fault(&mut self, fault: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// Looks at the whole at the end: what never happened was not checked.
    pub(crate) fn settle(&mut self) {
        if self.kills.is_empty() {
            return;
        }
        for (count, what) in [
            (self.answered, "request was answered"),
            (self.elsewhere, "request was answered by a box of another node"),
            (self.beats, "broadcast was received"),
            (self.maps, "map was looked at in calm"),
        ] {
            if count == 0 {
                self.fault(format!("not one {what}"));
            }
        }
    }

    pub(crate) fn is_right(&self) -> bool {
        self.faults.is_empty()
    }

    /// Returns the longest time until all boxes were back. `None`: they were not.
    fn back(&self) -> Option<Duration> {
        self.kills.iter().map(|kill| kill.back).try_fold(Duration::ZERO, |longest, back| Some(longest.max(back?)))
    }

    /// Returns a line for everything that was checked.
    pub(crate) fn report(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.kills.iter().map(ToString::to_string).collect();
        let Self { answered, elsewhere, excused, failed, beats, missed, maps, wrong, .. } = self;
        lines.push(format!(
            "requests: {answered} answered, {elsewhere} of them by boxes of other nodes; failed around a kill {excused}, in calm {failed}"
        ));
        lines.push(format!("broadcasts: {beats} received by boxes, missed on a connection {missed}"));
        lines.push(format!("maps: {maps} looked at in calm, wrong {wrong}"));
        lines.extend(self.faults.iter().map(|fault| format!("FAULT: {fault}")));
        lines
    }
}

fn shown(time: Option<Duration>) -> String {
    time.map_or("never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, boxes, back, known } = self;
        write!(f, "kill of {node}: {boxes} boxes, back after {}, on every map after {}", shown(*back), shown(*known))
    }
}

/// The last line of the program.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, answered, failed, missed, wrong, .. } = self;
        let (kills, back) = (kills.len(), shown(self.back()));
        write!(
            f,
            "kills {kills}, back within {back}, answered {answered}, failed {failed}, missed {missed}, wrong maps {wrong}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn asked(took: u64) -> Asked {
        Asked { took, answered: 1, elsewhere: 0, failed: vec!["box-1: the peer did not reply in time".to_owned()] }
    }

    #[test]
    fn a_request_may_fail_around_a_kill_alone() {
        let mut facts = Facts::default();
        facts.begin_unrest(10 * SECOND);
        facts.add_asked(11 * SECOND, "node-1", asked(10));
        facts.end_unrest(12 * SECOND);
        facts.add_asked(13 * SECOND, "node-1", asked(1500));
        assert!(facts.is_right(), "{facts:?}");
        facts.add_asked(14 * SECOND, "node-1", asked(1500));
        assert_eq!((facts.is_right(), facts.excused, facts.failed, facts.answered), (false, 2, 1, 3));
        assert_eq!(
            facts.report().last().unwrap(),
            "FAULT: node-1 asked in calm, and failed: box-1: the peer did not reply in time"
        );
    }

    #[test]
    fn a_map_must_be_right_in_calm() {
        let mut facts = Facts::default();
        facts.begin_unrest(SECOND);
        facts.add_map(Some("the map of node-1 lacks box-1".to_owned()));
        facts.end_unrest(2 * SECOND);
        facts.add_map(None);
        assert!(facts.is_right());
        facts.add_map(Some("the map of node-1 lacks box-1".to_owned()));
        assert_eq!((facts.is_right(), facts.maps, facts.wrong), (false, 2, 1));
    }

    #[test]
    fn a_broadcast_must_not_be_missed() {
        let mut facts = Facts::default();
        facts.add_beat("box-1", 0);
        assert!(facts.is_right());
        facts.add_beat("box-1", 2);
        assert_eq!((facts.is_right(), facts.beats, facts.missed), (false, 2, 2));
    }

    #[test]
    fn what_never_happened_is_a_fault() {
        let mut facts = Facts::default();
        facts.settle();
        assert!(facts.is_right(), "nothing was promised");
        facts.add_kill(Kill { node: "node-1".to_owned(), boxes: 10, back: Some(SECOND), known: Some(SECOND) });
        facts.settle();
        assert_eq!(facts.faults.len(), 4, "{facts:?}");
    }

    #[test]
    fn the_last_line_has_the_longest_time() {
        let mut facts = Facts::default();
        let kill = |back| Kill { node: "node-1".to_owned(), boxes: 10, back, known: back };
        facts.add_kill(kill(Some(2 * SECOND)));
        facts.add_kill(kill(Some(SECOND)));
        let expected = "kills 2, back within 2.0 s, answered 0, failed 0, missed 0, wrong maps 0";
        assert_eq!(facts.to_string(), expected);
        facts.add_kill(kill(None));
        assert_eq!(facts.back(), None);
        facts.add_kill(kill(Some(SECOND)));
        assert_eq!(facts.back(), None);
    }
}
