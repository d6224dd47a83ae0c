//! Why a file cannot be used, and the error that says so. It does not know records.
use super::with;
use crate::error::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;
use std::{
    fs, io,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

/// Why a file cannot be used.
pub(super) enum Problem {
    Sqlite(rusqlite::Error),
    System(io::Error),
    Corrupt(String),
    Foreign,
    Later(i32),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Problem {
    /// Adds the reason of the system, which SQLite does not give. `is_open` is whether SQLite has
    /// the file open: then it must not be opened here, because the close would end SQLite's lock.
    pub(super) fn explained(self, path: &Path, is_open: bool) -> Self {
        let Self::Sqlite(error) = &self else { return self };
        let by_the_system = matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::PermissionDenied
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
            )
        );
        if !by_the_system {
            return self;
        }
        let opened = if is_open { Ok(()) } else { open_both(path) };
        match opened.and_then(|()| write_beside(path)) {
            Ok(()) => self,
            Err(error) => Self::System(error),
        }
    }

    pub(super) fn into_error(self, path: &Path, what: &str) -> StoreError {
        let store = format!("the store {}", path.display());
        let failed = format!("{store} cannot be {what}");
        match self {
            Self::System(cause) => system_error(&failed, cause),
            Self::Corrupt(why) => StoreError::new(StoreErrorKind::Corrupt, format!("{store} is damaged: {why}")),
            Self::Foreign => StoreError::new(StoreErrorKind::Foreign, foreign(&store)),
            Self::Later(format) => {
                let message = format!("{store} has format {format}, which a later version of wsx has written");
                StoreError::new(StoreErrorKind::Later, message)
            }
            Self::Sqlite(cause) => {
                let (kind, message) = match cause.sqlite_error_code() {
                    Some(ErrorCode::DatabaseCorrupt) => (StoreErrorKind::Corrupt, format!("{store} is damaged")),
                    Some(ErrorCode::NotADatabase) => (StoreErrorKind::Foreign, foreign(&store)),
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                        (StoreErrorKind::Locked, format!("{store} is in use: one process uses it at a time"))
                    }
                    Some(ErrorCode::DiskFull) => (StoreErrorKind::Full, advised(&failed, FULL)),
                    Some(ErrorCode::ReadOnly) => (StoreErrorKind::ReadOnly, advised(&failed, READ_ONLY)),
                    Some(ErrorCode::PermissionDenied) => (StoreErrorKind::Denied, advised(&failed, DENIED)),
                    _ => (StoreErrorKind::Io, failed),
                };
                StoreError::new(kind, message).with_source(cause)
            }
        }
    }
}

const FULL: &str = "the disk is full, or a quota is reached: make room";
const READ_ONLY: &str = "the file system is read-only: make it writable, or choose another path";
const DENIED: &str = "its user has no permission: change the permissions of the file and of its folder";

/// Returns an error of the system, with what to do.
pub(super) fn system_error(failed: &str, cause: io::Error) -> StoreError {
    let error = StoreError::io(failed, cause);
    let advice = match (error.kind(), error.io_kind()) {
        (StoreErrorKind::Full, _) => FULL,
        (StoreErrorKind::ReadOnly, _) => READ_ONLY,
        (StoreErrorKind::Denied, _) => DENIED,
        (_, Some(io::ErrorKind::NotFound)) => "its folder does not exist: create it",
        (_, Some(io::ErrorKind::NotADirectory)) => "its folder is a file: choose another path",
        (_, Some(io::ErrorKind::IsADirectory)) => "it is a folder: choose the path of a file",
        _ => return error,
    };
    error.with_message(advised(failed, advice))
}

fn advised(failed: &str, advice: &str) -> String {
    format!("{failed}: {advice}")
}

fn foreign(store: &str) -> String {
    format!("{store} is not a store of wsx: choose another path")
}

/// Opens the file and its write-ahead log as SQLite does.
fn open_both(path: &Path) -> io::Result<()> {
    let open = |path: &Path| fs::OpenOptions::new().read(true).write(true).open(path).map(drop);
    open(path)?;
    match open(&with(path, "-wal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a page to another file of the same folder, at the place where the longer file of the
/// store ends. So it meets the same limits of the system. Most of the file is a hole.
fn write_beside(path: &Path) -> io::Result<()> {
    let length = |end| fs::metadata(with(path, end)).map_or(0, |file| file.len());
    let end = length("").max(length("-wal"));
    let beside = with(path, "-probe");
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.seek(SeekFrom::Start(end))?;
        file.write_all(&[0; 8192])?;
        file.sync_data()
    });
    let _ = fs::remove_file(&beside);
    written
}
