//! The folder of a run. It does not know stores.
use std::{
    env, fs,
    ops::Deref,
    path::{Path, PathBuf},
};

/// A folder that is removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let current = env::current_dir().expect("a current folder");
        let path = current.join(format!("target/bench-store-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the current folder can be written");
        Self(path)
    }

    /// Returns an empty folder in this one. It has the place of an earlier one.
    pub(crate) fn empty(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("the folder can be written");
        path
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the lengths of the files.
pub(crate) fn lengths(folder: &Path) -> Vec<u64> {
    let files = fs::read_dir(folder).expect("the folder exists");
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).collect()
}
