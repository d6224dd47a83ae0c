//! The error of a store. It does not know which store returned it.
use crate::error::BoxError;
use std::{error::Error, fmt, io};

/// An error that a [`Store`](crate::delivery::Store) returns.
///
/// `Display` says what happened, with the path of a file. `source()` has the cause;
/// [`Report`](crate::Report) prints both.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<BoxError>,
}

/// What a [`StoreError`] means for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The operating system returned an error, other than the following ones.
    Io,
    /// There is no room: the disk is full, or a quota or a maximum length of files is reached.
    Full,
    /// The file system is read-only. A system may make it so after errors of the disk.
    ReadOnly,
    /// The user of this process has no permission to use the file, or to create it.
    Denied,
    /// Another process, or another part of this one, has opened the file.
    Locked,
    /// The file is damaged.
    Corrupt,
    /// The file belongs to something else: it is not a file of this store.
    Foreign,
    /// A later version of wsx wrote the file, in a format that this version does not know.
    Later,
    /// An error of a program's own store. A panic is one too.
    Other,
}

impl StoreError {
    /// Returns an error of this kind. `message` says what happened, in lower case, without the
    /// cause.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Returns an error of the kind [`Other`](StoreErrorKind::Other).
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Other, message)
    }

    /// Returns an error of the operating system: [`Full`](StoreErrorKind::Full),
    /// [`ReadOnly`](StoreErrorKind::ReadOnly), [`Denied`](StoreErrorKind::Denied) or
    /// [`Io`](StoreErrorKind::Io).
    pub fn io(message: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreErrorKind::Full
            }
            io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::ReadOnly,
            io::ErrorKind::PermissionDenied => StoreErrorKind::Denied,
            _ => StoreErrorKind::Io,
        };
        Self::new(kind, message).with_source(source)
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    #[cfg(feature = "outbox")]
    pub(crate) fn with_message(mut self, message: String) -> Self {
        self.message = message;
        self
    }

    /// Returns the kind of the system's error that is the cause.
    #[cfg(feature = "outbox")]
    pub(crate) fn io_kind(&self) -> Option<io::ErrorKind> {
        self.source.as_ref()?.downcast_ref().map(io::Error::kind)
    }

    /// Returns the kind of this error.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// For the `?` of a program's own store.
impl From<io::Error> for StoreError {
    fn from(source: io::Error) -> Self {
        Self::io("the store failed", source)
    }
}
