//! The place of kept messages: a map from text keys to bytes, and the trait of whatever holds it.
//!
//! A store does not know messages, peers or numbers.
#[cfg(feature = "outbox")]
mod checksum;
#[cfg(feature = "outbox")]
mod disk;

#[cfg(feature = "outbox")]
pub use disk::Disk;

use crate::error::StoreError;
use bytes::Bytes;

/// The place of kept messages: a map from text keys to bytes.
///
/// wsx has all waiting messages in memory, within the bounds of their outbox or mailbox. The store
/// is what they are read from after a restart. So it is read once, and then only written.
///
/// [`commit`](Self::commit) runs in a thread of its own, so it may block. Calls never overlap.
///
/// A panic in a store is caught and becomes a [`StoreError`]. The store is then used again.
///
/// # Example
///
/// A store in memory, for a test that starts a client again:
///
/// ```
/// use std::{collections::BTreeMap, sync::{Arc, Mutex}};
/// use wsx::delivery::{Change, Store, StoreError};
///
/// #[derive(Clone, Default)]
/// struct Shared(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);
///
/// impl Store for Shared {
///     fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
///         self.0.lock().unwrap().iter().for_each(|(key, value)| each(key, value));
///         Ok(())
///     }
///
///     fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
///         let mut map = self.0.lock().unwrap();
///         for change in changes {
///             match change {
///                 Change::Put { key, value } => drop(map.insert(key.clone(), value.to_vec())),
///                 Change::Delete { key } => drop(map.remove(key)),
///                 change => return Err(StoreError::other(format!("{change:?} is not known"))),
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Store: Send + 'static {
    /// Calls `each` with every key and its value, in any order. It is called once, before the first
    /// commit, in the thread that builds the client or the hub.
    ///
    /// # Errors
    ///
    /// The content cannot be read. The client or the hub is then not built.
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError>;

    /// Applies all changes in their order, all or none of them, and returns when they are durable.
    ///
    /// At most 4,096 changes or 4 MiB come at once, except for a single message that is longer, and
    /// for changes that could not be written before.
    ///
    /// # Errors
    ///
    /// The changes are not durable. Each message among them is then not accepted, and its send
    /// returns this error. Everything else is tried again: with the next commit, and after a
    /// second.
    ///
    /// If a store cannot know whether its changes were written, it returns an error. A message that
    /// was not accepted may then be sent after a restart.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;
}

impl Store for Box<dyn Store> {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        (**self).load(each)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        (**self).commit(changes)
    }
}

/// One change to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Sets the value of a key, in place of an earlier one.
    Put {
        /// The key. wsx makes keys of at most a few hundred bytes, except for a long name of a
        /// peer.
        key: String,
        /// The value.
        value: Bytes,
    },
    /// Removes a key. A key that the store does not have is not an error.
    Delete {
        /// The key.
        key: String,
    },
}

impl Change {
    /// Returns the key that changes.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// Returns the number of bytes of the key and the value.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Put { key, value } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
        }
    }
}
