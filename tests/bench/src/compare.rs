//! The comparison: rounds in which every peer runs every workload.
use crate::{
    machine::Cores,
    measure::{Pace, Sample, measure},
    peers::{Missing, Peer, Start},
    statistics::{median, ratio},
    workload::Workload,
};
use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

/// What to compare.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) peers: Vec<Peer>,
    pub(crate) workloads: Vec<&'static Workload>,
    pub(crate) rounds: usize,
    pub(crate) pace: Pace,
    /// When to start no more measurements.
    pub(crate) end: Option<Instant>,
    /// The workloads that were not named and take too long to run by default.
    pub(crate) left_out: Vec<&'static Workload>,
}

/// All results of one peer at one workload.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) workload: &'static Workload,
    pub(crate) peer: Peer,
    pub(crate) missing: Option<Missing>,
    /// One for each round; `None` where it failed.
    pub(crate) samples: Vec<Option<Sample>>,
    /// Why rounds failed.
    pub(crate) faults: Vec<String>,
    /// How many rounds were skipped for lack of time.
    pub(crate) left_out: usize,
}

impl Cell {
    /// Returns the median over the rounds.
    pub(crate) fn median(&self, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.iter().flatten().filter_map(value))
    }

    /// Returns how many times as much CPU time, or other `value`, the other peer took.
    pub(crate) fn ratio_to(&self, other: &Self, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let each = |cell: &Self| cell.samples.iter().map(|sample| sample.as_ref().and_then(&value)).collect::<Vec<_>>();
        ratio(&each(other), &each(self))
    }

    /// Returns the number of finished rounds.
    pub(crate) fn rounds(&self) -> usize {
        self.samples.iter().flatten().count()
    }

    /// Returns the number of connections and the median CPU time of each step of the growth.
    pub(crate) fn steps(&self) -> Vec<(usize, f64)> {
        let Some(first) = self.samples.iter().flatten().next() else { return Vec::new() };
        let at = |index: usize| self.median(|sample| sample.steps.get(index).map(|step| step.1));
        first.steps.iter().enumerate().filter_map(|(index, step)| Some((step.0, at(index)?))).collect()
    }
}

/// Every cell, workload by workload.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) cells: Vec<Cell>,
    pub(crate) took: Duration,
}

impl Results {
    /// Returns the cell of the peer that all are compared with.
    pub(crate) fn reference(&self, workload: &Workload) -> Option<&Cell> {
        self.cell(workload, workload.reference())
    }

    pub(crate) fn cell(&self, workload: &Workload, peer: Peer) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.workload.name == workload.name && cell.peer == peer)
    }

    pub(crate) fn has_faults(&self) -> bool {
        self.cells.iter().any(|cell| !cell.faults.is_empty())
    }
}

/// Runs all measurements, and reports the progress on standard error.
pub(crate) fn compare(plan: &Plan, cores: Cores) -> Results {
    let started = Instant::now();
    let starts: Vec<Result<Start, Missing>> = plan.peers.iter().map(|peer| peer.prepare()).collect();
    let mut cells: Vec<Cell> = plan
        .workloads
        .iter()
        .flat_map(|workload| {
            plan.peers.iter().zip(&starts).filter(|(peer, _)| peer.runs(workload)).map(|(peer, start)| Cell {
                workload,
                peer: *peer,
                missing: start.as_ref().err().cloned(),
                samples: Vec::new(),
                faults: Vec::new(),
                left_out: 0,
            })
        })
        .collect();
    for (peer, start) in plan.peers.iter().zip(&starts) {
        if let Err(Missing(why)) = start {
            report(format_args!("{} is missing: {why}", peer.name()));
        }
    }
    for workload in &plan.left_out {
        report(format_args!("{} is skipped for lack of time", workload.name));
    }
    for round in 0..plan.rounds {
        for cells in cells.chunk_by_mut(|a, b| a.workload.name == b.workload.name) {
            for at in order(cells.len(), round) {
                let cell = &mut cells[at];
                let workload = cell.workload;
                let start = plan.peers.iter().zip(&starts).find(|(peer, _)| **peer == cell.peer);
                let Some((_, Ok(start))) = start else { continue };
                let place = format!("round {}/{} {} {}", round + 1, plan.rounds, workload.name, cell.peer.name());
                if plan.end.is_some_and(|end| Instant::now() > end) {
                    cell.left_out += 1;
                    cell.samples.push(None);
                    report(format_args!("{place}: skipped for lack of time"));
                    continue;
                }
                match measure(workload, start, cores, plan.pace) {
                    Ok(sample) => {
                        report(format_args!("{place}: {}", brief(&sample)));
                        cell.samples.push(Some(sample));
                    }
                    Err(fault) => {
                        report(format_args!("{place}: FAILED: {fault}"));
                        cell.faults.push(fault.to_string());
                        cell.samples.push(None);
                    }
                }
            }
        }
    }
    Results { cells, took: started.elapsed() }
}

/// Returns the order of the peers in a round. Every second round is reversed, and every two rounds
/// start with another peer, so that a peer does not always run after the same one.
fn order(peers: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..peers).map(move |at| {
        let turned = (at + round / 2) % peers;
        if round.is_multiple_of(2) { turned } else { peers - 1 - turned }
    })
}

fn brief(sample: &Sample) -> String {
    let mut brief = String::new();
    let mut add = |value: Option<f64>, unit: &str| {
        if let Some(value) = value {
            brief.push_str(&format!("{value:.3} {unit}  "));
        }
    };
    add(sample.cpu_us, "µs CPU");
    add(sample.p50_us, "µs p50");
    add(sample.rss_kb_per_conn, "KB each");
    add(sample.growth, "× growth");
    brief.truncate(brief.trim_end().len());
    brief
}

/// Writes to standard error. If that is closed, the message is lost.
fn report(what: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_its_turn_in_every_round_and_is_first_in_some() {
        for peers in 1..9 {
            let mut firsts: Vec<usize> = Vec::new();
            for round in 0..2 * peers {
                let mut turns: Vec<usize> = order(peers, round).collect();
                firsts.push(turns[0]);
                turns.sort_unstable();
                assert_eq!(turns, (0..peers).collect::<Vec<_>>());
            }
            firsts.sort_unstable();
            firsts.dedup();
            assert_eq!(firsts.len(), peers);
        }
    }
}
