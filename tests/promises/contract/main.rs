//! The contract of a protocol: its lock file, and which end a change breaks.
mod changes;
mod described;
mod exported;
mod exports;
mod files;
mod life;

use std::{fs, path::PathBuf};
use wsx::contract::{Described, check_as};

/// A lock file of one test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("contract");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.lock"));
        let _ = fs::remove_file(&path);
        Self(path)
    }

    /// Checks a protocol, as with this value of `WSX_CONTRACT`. The path is cut from the words.
    fn run<P: Described>(&self, value: &str) -> Result<Option<String>, String> {
        let cut = |text: String| text.replace(&self.0.display().to_string(), "wsx.lock");
        check_as::<P>(&self.0, value).map(|done| done.map(cut)).map_err(cut)
    }

    /// Releases a protocol.
    fn release<P: Described>(&self) {
        self.run::<P>("release").unwrap().expect("it was not released before");
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }
}
