//! Compares the books of all ends: a message that was accepted must be in the ledger of its
//! receiver, once and in order.
use crate::plug::books::read;
use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, io, path::Path};

/// The result for all messages, in both directions.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    accepted: usize,
    /// Messages that were accepted, and handled at least once.
    handled: usize,
    lost: usize,
    /// Lines of the ledgers that repeat a message.
    twice: usize,
    expired: usize,
    /// Messages that came again after they were handled, and that the ledger has recognized.
    pub(crate) suppressed: usize,
    /// Messages that were handled, and whose sender was killed before it wrote them down.
    pub(crate) unknown: usize,
    /// Everything that must not be, in sentences.
    pub(crate) faults: Vec<String>,
}

impl Comparison {
    /// Compares the books of the ends with these names.
    pub(crate) fn of(directory: &Path, names: &[String]) -> io::Result<Self> {
        let (mut accepted, mut handled, mut this) = (BTreeSet::new(), BTreeMap::new(), Self::default());
        for name in names {
            for line in read(directory, name, "accepted")? {
                if let [to, run, number] = line.as_slice() {
                    accepted.insert([name, to, run, number].map(Clone::clone));
                }
            }
            let mut newest = BTreeMap::new();
            for line in read(directory, name, "ledger")? {
                let [from, run, number, ..] = line.as_slice() else { continue };
                let message = [from, name, run, number].map(Clone::clone);
                let place = (run.parse::<u32>().ok(), number.parse::<u32>().ok());
                if newest.insert(from.clone(), place).is_some_and(|before| before > place) {
                    this.faults.push(format!("out of order: {}", show(&message)));
                }
                *handled.entry(message).or_insert(0) += 1;
            }
            for event in read(directory, name, "events")? {
                match event.first().map(String::as_str) {
                    Some("suppressed") => this.suppressed += 1,
                    Some("expired") => this.expired += 1,
                    _ => this.faults.push(format!("{name}: {}", event.join(" "))),
                }
            }
        }
        for message in &accepted {
            if handled.contains_key(message) {
                this.handled += 1;
            } else {
                this.lost += 1;
                this.faults.push(format!("lost: {}", show(message)));
            }
        }
        for (message, times) in &handled {
            this.unknown += usize::from(!accepted.contains(message));
            if *times > 1 {
                this.twice += times - 1;
                this.faults.push(format!("handled {times} times: {}", show(message)));
            }
        }
        if this.expired > 0 {
            this.faults.push("messages without a time to live have expired".to_owned());
        }
        this.accepted = accepted.len();
        Ok(this)
    }
}

fn show([from, to, run, number]: &[String; 4]) -> String {
    format!("message {number} of run {run} from {from} to {to}")
}

/// The last line of the program.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, handled, lost, twice, expired, .. } = self;
        write!(f, "accepted {accepted}, handled {handled}, lost {lost}, handled twice {twice}, expired {expired}")
    }
}
