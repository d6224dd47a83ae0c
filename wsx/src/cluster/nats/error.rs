//! What is wrong with the options of a connection to NATS.
use std::{io, path::PathBuf};

/// An error in the options of a connection to NATS.
///
/// It says what is wrong and what to do. It never shows a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// A URL is not that of a NATS server.
    #[error("{url:?} is not the URL of a NATS server: {reason}")]
    Url {
        /// The URL, without a user and a password.
        url: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The URLs have different users or passwords. All servers of a cluster must know the same
    /// ones.
    #[error("the URLs have different users or passwords: give all of them the same, or call `user_and_password`")]
    DifferentUsers,
    /// The namespace is not one part of a subject.
    #[error("{namespace:?} is not a namespace: use 1 to 64 letters, digits, `-` and `_`")]
    Namespace {
        /// The namespace.
        namespace: String,
    },
    /// The name of the hub is empty, too long, or has control characters.
    #[error("{name:?} is not a name: use 1 to 64 bytes without control characters")]
    Name {
        /// The name.
        name: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: check that it exists and that this user may read it", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file was read, and is not what it should be.
    #[error("{} is not {expected}", path.display())]
    NotA {
        /// The path of the file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The text is not the seed of the nkey of a user.
    #[error("the text is not the seed of a user's nkey: such a seed has 58 characters and begins with \"SU\"")]
    Nkey,
}
