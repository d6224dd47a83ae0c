//! The books of the office and of each meter: which messages were accepted, and which were handled.
//!
//! They are files, to which each line is appended with one write, so a kill loses no line that was
//! written. They know neither connections nor processes.
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::{fmt, path::Path, sync::Arc, sync::Mutex, sync::PoisonError};
use wsx::delivery::{Gap, StoreError};
use wsx::{Connection, Delivered, HandlerError, Observer, Report};

/// The books of one end. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Books(Arc<Files>);

#[derive(Debug)]
struct Files {
    /// Messages whose `send` has returned `Ok`, as `receiver run number`.
    accepted: File,
    /// Messages that were received, as `sender run number epoch seq`. A line is the effect of the
    /// handler.
    ledger: Mutex<Ledger>,
    /// What else happened, as a word and anything.
    events: File,
}

#[derive(Debug)]
struct Ledger {
    file: File,
    /// The sender, epoch and seq of each line.
    seen: HashSet<[String; 3]>,
}

impl Books {
    /// Opens the books of the end with this name.
    pub(crate) fn open(directory: &Path, name: &str) -> io::Result<Self> {
        let seen = read(directory, name, "ledger")?.into_iter().filter_map(|line| match line.as_slice() {
            [from, _, _, epoch, seq] => Some([from, epoch, seq].map(Clone::clone)),
            _ => None,
        });
        let ledger = Ledger { seen: seen.collect(), file: append(directory, name, "ledger")? };
        Ok(Self(Arc::new(Files {
            accepted: append(directory, name, "accepted")?,
            ledger: Mutex::new(ledger),
            events: append(directory, name, "events")?,
        })))
    }

    /// Notes a message whose `send` has returned `Ok`.
    pub(crate) fn accept(&self, to: &str, run: u32, number: u32) -> io::Result<()> {
        write(&self.0.accepted, format_args!("{to} {run} {number}"))
    }

    /// Handles a message, unless the ledger has it.
    pub(crate) fn handle(&self, from: &str, delivered: &Delivered, run: u32, number: u32) -> io::Result<()> {
        let Delivered { epoch, number: seq, .. } = delivered;
        let mut ledger = self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if !ledger.seen.insert([from.to_owned(), epoch.to_string(), seq.to_string()]) {
            return write(&self.0.events, format_args!("suppressed {from} {run} {number} {epoch} {seq}"));
        }
        write(&ledger.file, format_args!("{from} {run} {number} {epoch} {seq}"))
    }

    fn event(&self, event: fmt::Arguments<'_>) {
        // An observer has nobody to tell.
        let _ = write(&self.0.events, event);
    }
}

/// The events that a fleet without faults of wsx does not have.
impl Observer for Books {
    fn delivery_expired(&self, peer: &str, message_type: &str) {
        self.event(format_args!("expired {message_type} for {peer}"));
    }

    fn delivery_gap(&self, conn: &Connection, gap: &Gap) {
        self.event(format_args!("gap {}: {gap:?}", conn.id()));
    }

    fn delivery_failed(&self, conn: &Connection, message_type: &str, code: &str, message: &str) {
        self.event(format_args!("failed {message_type} at {}: {code}, {message}", conn.id()));
    }

    fn store_failed(&self, error: &StoreError) {
        self.event(format_args!("store: {}", Report(error)));
    }

    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        self.event(format_args!("handler of {message_type} from {}: {}", conn.id(), Report(error)));
    }
}

/// Returns the words of each line of a book.
pub(crate) fn read(directory: &Path, name: &str, book: &str) -> io::Result<Vec<Vec<String>>> {
    let text = match fs::read_to_string(directory.join(format!("{name}.{book}"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    Ok(text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect())
}

fn append(directory: &Path, name: &str, book: &str) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(directory.join(format!("{name}.{book}")))
}

/// Appends a line with one write.
fn write(mut file: &File, line: fmt::Arguments<'_>) -> io::Result<()> {
    file.write_all(format!("{line}\n").as_bytes())
}
