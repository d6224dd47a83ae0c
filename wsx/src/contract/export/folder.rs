//! Files in a folder: what is stale there, and writing it. It does not know what the files say.
use super::difference::difference;
use crate::contract::check::{Mode, VARIABLE};
use std::{fmt::Write as _, fs, io, path::Path};

/// A file as it is to be.
#[derive(Debug)]
pub(super) struct File {
    name: &'static str,
    text: String,
}

impl File {
    pub(super) fn new(name: &'static str, text: String) -> Self {
        Self { name, text }
    }
}

/// Compares the files with the folder, or writes those that are stale. Returns what was written.
pub(super) fn sync(folder: &Path, protocol: &str, files: &[File], mode: Mode) -> Result<Option<String>, String> {
    let (place, mut stale, mut shown) = (folder.display(), Vec::new(), String::new());
    for file in files {
        let path = folder.join(file.name);
        match read(&path)? {
            Some(text) if text == file.text => continue,
            Some(text) => {
                let _ = write!(shown, "\n{} is stale:\n{}", path.display(), difference(&text, &file.text));
            }
            None => {
                let _ = writeln!(shown, "\n{} is not there", path.display());
            }
        }
        stale.push(file);
    }
    if stale.is_empty() {
        return Ok(None);
    }
    if mode == Mode::Check {
        return Err(format!(
            "the files in {place} are not those of {protocol}:\n{shown}\n\
             if this is meant, run this test with {VARIABLE}=accept, and commit the files\n"
        ));
    }
    let failed = |path: &Path, error: &io::Error| format!("{} cannot be written: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for file in &stale {
        let path = folder.join(file.name);
        write(&path, &file.text).map_err(|error| failed(&path, &error))?;
    }
    let names: Vec<&str> = stale.iter().map(|file| file.name).collect();
    Ok(Some(format!("{place} has new files of {protocol}: {}", names.join(", "))))
}

/// Reads a file, if it is there. Git may have given it the line ends of another system.
fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.replace("\r\n", "\n"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Writes a file in one step.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(".new");
    fs::write(&next, text)?;
    fs::rename(&next, path)
}
