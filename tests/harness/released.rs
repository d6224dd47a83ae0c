//! Lock files of protocols that a test declares.
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};
use wsx::contract::{Described, Released, check_as};

/// Releases a version in the lock file at this path.
///
/// # Panics
///
/// When it was released before, or breaks a released version of the same number.
pub fn release<P: Described>(path: &Path) {
    check_as::<P>(path, "release").expect("it may be released").expect("it was not released before");
}

/// Releases versions, the oldest first. Returns the lock file as it is after each of them.
///
/// # Panics
///
/// When a version cannot be released.
#[must_use]
pub fn released<const N: usize>(releases: [fn(&Path); N]) -> [Released; N] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("wsx-{}-{number}.lock", std::process::id()));
    let released = releases.map(|release| {
        release(&path);
        Released::__new(fs::read_to_string(&path).expect("it was written just now").leak())
    });
    fs::remove_file(&path).expect("it is there");
    released
}
