//! What an end says on its standard output: a line for each moment of a message.
//!
//! A line is one write, so a kill loses no line that was written.
use std::{
    fmt,
    io::{self, Write},
    str::FromStr,
};

/// Which end keeps a message: the box in its outbox, or the station in its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum End {
    Box,
    Station,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Box, Self::Station];

    pub(crate) fn other(self) -> Self {
        if self == Self::Box { Self::Station } else { Self::Box }
    }
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// The store is open.
    Open,
    /// This end has accepted its message `n`.
    Accepted(u64),
    /// This end knows that its message `n` is handled.
    Done(u64),
    /// This end has handled a message of the other one.
    Handled { epoch: String, seq: u64, n: u64 },
    /// Nothing waits at this end.
    Empty,
    /// Something that must not happen.
    Fault(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Accepted(n) => write!(f, "accepted {n}"),
            Self::Done(n) => write!(f, "done {n}"),
            Self::Handled { epoch, seq, n } => write!(f, "handled {epoch} {seq} {n}"),
            Self::Empty => f.write_str("empty"),
            Self::Fault(what) => write!(f, "fault {what}"),
        }
    }
}

impl FromStr for Note {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = line.split(' ').collect();
        Ok(match &*words {
            ["open"] => Self::Open,
            ["accepted", n] => Self::Accepted(n.parse()?),
            ["done", n] => Self::Done(n.parse()?),
            ["handled", epoch, seq, n] => {
                Self::Handled { epoch: (*epoch).to_owned(), seq: seq.parse()?, n: n.parse()? }
            }
            ["empty"] => Self::Empty,
            _ => Self::Fault(line.to_owned()),
        })
    }
}

/// Writes a line with one write.
pub(crate) fn say(line: impl fmt::Display) -> io::Result<()> {
    let line = format!("{line}\n");
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}
