//! A disk that loses what was not synced: a model of a folder.
//!
//! It promises what POSIX does. A sync of a file makes its content and its length durable, and a
//! sync of the folder its names. Everything else may be there after a power loss or not, each write
//! by itself, and a write may be torn at sectors.
use crate::{random::Random, trace::Step};
use std::collections::BTreeMap;

const SECTOR: u64 = 512;

/// A folder.
#[derive(Debug, Default, Clone)]
pub(crate) struct Medium {
    files: Vec<File>,
    /// The durable names, and the file of each.
    durable: BTreeMap<String, usize>,
    /// The names as the process sees them.
    names: BTreeMap<String, usize>,
    /// Changes of names that are not durable. `None` removes a name.
    pending: Vec<(String, Option<usize>)>,
}

#[derive(Debug, Default, Clone)]
struct File {
    durable: Vec<u8>,
    content: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Truncate(u64),
}

impl Medium {
    /// Returns a folder with these durable files.
    pub(crate) fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut medium = Self::default();
        for (name, content) in files {
            medium.durable.insert(name, medium.files.len());
            medium.files.push(File { durable: content.clone(), content, pending: Vec::new() });
        }
        medium.names.clone_from(&medium.durable);
        medium
    }

    /// Does what a process did.
    pub(crate) fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(name) => {
                if !self.names.contains_key(name) {
                    let file = self.files.len();
                    self.files.push(File::default());
                    self.names.insert(name.clone(), file);
                    self.pending.push((name.clone(), Some(file)));
                }
            }
            Step::Remove(name) => {
                self.names.remove(name);
                self.pending.push((name.clone(), None));
            }
            Step::Write { file, at, bytes } => self.change(file, Change::Write { at: *at, bytes: bytes.clone() }),
            Step::Truncate { file, len } => self.change(file, Change::Truncate(*len)),
            Step::Sync(name) => {
                let file = &mut self.files[self.names[name]];
                file.durable.clone_from(&file.content);
                file.pending.clear();
            }
            Step::SyncFolder => {
                self.durable.clone_from(&self.names);
                self.pending.clear();
            }
            Step::Say(..) => {}
        }
    }

    fn change(&mut self, name: &str, change: Change) {
        let file = &mut self.files[self.names[name]];
        apply(&mut file.content, &change);
        file.pending.push(change);
    }

    /// Returns the files as the process sees them.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.names.iter().map(|(name, file)| (name.clone(), self.files[*file].content.clone())).collect()
    }

    /// Returns the files after a power loss.
    pub(crate) fn after_a_loss(&self, random: &mut Random) -> BTreeMap<String, Vec<u8>> {
        // How likely it is that a change is kept: never, always, or in between.
        let odds = [0, 100, 50, 90][random.index(4)];
        let is_torn = random.is_heads();
        let mut names = self.durable.clone();
        for (at, (name, file)) in self.pending.iter().enumerate() {
            // The changes of one name stay in order: a later one needs the earlier ones.
            let is_kept = random.below(100) < odds;
            match file {
                _ if !is_kept || self.pending[..at].iter().any(|(other, _)| other == name && !is_kept) => {}
                Some(file) => drop(names.insert(name.clone(), *file)),
                None => drop(names.remove(name)),
            }
        }
        names.into_iter().map(|(name, file)| (name, self.files[file].after_a_loss(random, odds, is_torn))).collect()
    }
}

impl File {
    fn after_a_loss(&self, random: &mut Random, odds: u64, is_torn: bool) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Write { at, bytes } if is_torn => {
                    for (at, bytes) in sectors(*at, bytes) {
                        if random.below(100) < odds {
                            apply(&mut content, &Change::Write { at, bytes: bytes.to_vec() });
                        }
                    }
                }
                _ if random.below(100) < odds => apply(&mut content, change),
                // The length of a file may be durable before its bytes, which are then anything.
                Change::Write { at, bytes } if random.below(100) < odds => {
                    let end = usize::try_from(*at).expect("it is short") + bytes.len();
                    let filler = if random.is_heads() { 0 } else { 0xa5 };
                    if content.len() < end {
                        content.resize(end, filler);
                    }
                }
                _ => {}
            }
        }
        content
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes } => {
            let at = usize::try_from(*at).expect("it is short");
            if content.len() < at + bytes.len() {
                content.resize(at + bytes.len(), 0);
            }
            content[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Change::Truncate(len) => content.resize(usize::try_from(*len).expect("it is short"), 0),
    }
}

/// Returns the parts of a write in each sector.
fn sectors(mut at: u64, mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let len = usize::try_from(SECTOR - at % SECTOR).expect("it is short").min(bytes.len());
        let (part, rest) = bytes.split_at(len);
        parts.push((at, part));
        (at, bytes) = (at + len as u64, rest);
    }
    parts
}
