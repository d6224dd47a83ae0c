//! What a process of the campaign writes down before it goes on, so that a kill does not take it
//! away: one line for each thing.
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// The notes of a process, in a file of its own.
#[derive(Debug, Clone)]
pub(crate) struct Notes(Arc<Mutex<File>>);

impl Notes {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(File::options().create(true).append(true).open(path)?))))
    }

    /// Writes a line. The kernel has it when this returns.
    pub(crate) fn add(&self, line: &str) {
        let line = format!("{line}\n");
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).expect("the notes can be written");
    }
}
