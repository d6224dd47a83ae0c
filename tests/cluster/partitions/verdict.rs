//! What the notes of all processes say, when the campaign is over.
use std::{
    collections::{HashMap, HashSet},
    fmt, fs,
    path::Path,
};
use wsx_cluster_tests::Failure;

/// Shown of what is wrong.
const SHOWN: usize = 20;
/// Fewer measurements than these do not say anything about the slowest percent.
const MEASURED: usize = 500;
/// How much slower the slowest percent of local sends may be while NATS is away. A millisecond
/// comes on top, because other programs use the processors too.
const SLOWER: f64 = 20.0;

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    accepted: HashSet<(String, u64)>,
    handled: HashMap<(String, u64), usize>,
    /// What became of requests and sends, by their keys.
    requests: HashMap<String, String>,
    sends: HashMap<String, String>,
    /// How often each key has arrived at boxes.
    got: HashMap<String, usize>,
    /// Sends to boxes of the same node in nanoseconds, by phase.
    local: [Vec<u64>; 3],
    wrong: Vec<String>,
}

impl Verdict {
    pub(crate) fn of(folder: &Path) -> Result<Self, Failure> {
        let mut verdict = Self::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "notes") {
                // A process that was killed may have left a part of a line.
                let notes = fs::read_to_string(&path)?;
                notes
                    .split_inclusive('\n')
                    .filter(|line| line.ends_with('\n'))
                    .for_each(|line| verdict.read(line.trim()));
            }
        }
        verdict.check();
        Ok(verdict)
    }

    fn read(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["accepted", id, number] => _ = self.accepted.insert((id.into(), number.parse().unwrap_or(0))),
            ["handled", id, number] => *self.handled.entry((id.into(), number.parse().unwrap_or(0))).or_default() += 1,
            ["got", key, _] => *self.got.entry(key.into()).or_default() += 1,
            ["request", key, outcome] => {
                if let Some(other) = self.requests.insert(key.into(), outcome.into()) {
                    self.wrong.push(format!("request {key} ended in {other} and in {outcome}"));
                }
            }
            ["send", key, outcome] => _ = self.sends.insert(key.into(), outcome.into()),
            ["local", phase, time] => {
                if let (Ok(phase @ 0..3), Ok(time)) = (phase.parse::<usize>(), time.parse()) {
                    self.local[phase].push(time);
                }
            }
            // The nodes are of one version.
            ["late", ..] | ["event", "a", "packet", ..] => self.wrong.push(line.into()),
            _ => {}
        }
    }

    fn check(&mut self) {
        let mut wrong = std::mem::take(&mut self.wrong);
        for (id, number) in self.accepted.iter().filter(|message| !self.handled.contains_key(message)) {
            wrong.push(format!("message {number} of {id} was accepted, and no node has handled it"));
        }
        for (what, outcomes) in [("request", &self.requests), ("send", &self.sends)] {
            for (key, outcome) in outcomes {
                let got = self.got.get(key).copied().unwrap_or(0);
                let fits = match outcome.as_str() {
                    "done" => got == 1,
                    "not" => got == 0,
                    "perhaps" => got <= 1,
                    _ => false,
                };
                if !fits {
                    wrong.push(format!("{what} {key} ended as {outcome:?}, and a box got it {got} times"));
                }
            }
        }
        for times in &mut self.local {
            times.sort_unstable();
        }
        if let Some((calm, away)) = self.p99(0).zip(self.p99(1))
            && away > calm * SLOWER + 1000.0
        {
            wrong.push(format!("a local send took {away:.0} µs while NATS was away, and {calm:.0} µs in calm"));
        }
        self.wrong = wrong;
    }

    /// Returns how often a broadcast has arrived at boxes.
    pub(crate) fn arrived(&self, key: &str) -> usize {
        self.got.get(key).copied().unwrap_or(0)
    }

    /// Returns what is wrong, if anything is.
    pub(crate) fn wrong(&self) -> Option<String> {
        let shown = self.wrong.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n  ");
        (!self.wrong.is_empty()).then(|| format!("{} things are wrong:\n  {shown}", self.wrong.len()))
    }

    /// Returns the time of the slowest percent, in microseconds.
    fn p99(&self, phase: usize) -> Option<f64> {
        let times = &self.local[phase];
        (times.len() >= MEASURED).then(|| times[times.len() * 99 / 100] as f64 / 1000.0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |outcomes: &HashMap<String, String>, wanted: &str| {
            outcomes.values().filter(|outcome| *outcome == wanted).count()
        };
        let twice = self.handled.values().filter(|times| **times > 1).count();
        write!(
            f,
            "{} messages that count accepted and handled, {twice} more than once; {} requests ({} done, {} not sent); {} \
             sends ({} not sent)",
            self.accepted.len(),
            self.requests.len(),
            count(&self.requests, "done"),
            count(&self.requests, "not"),
            self.sends.len(),
            count(&self.sends, "not"),
        )?;
        match self.p99(0).zip(self.p99(1)) {
            Some((calm, away)) => write!(
                f,
                "; p99 of a send to a box of the same node {calm:.0} µs in calm, {away:.0} µs while NATS is away: {:.1} times",
                away / calm
            ),
            None => f.write_str("; too few sends to boxes of the same node while NATS was away for a p99"),
        }
    }
}
