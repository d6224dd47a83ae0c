//! Counters by type of message, of which a program may name any number. It does not know what they
//! count.
use super::labels::OTHER;
use crate::envelope::incoming::UNKNOWN;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
};

/// Maximum number of message types that have their own label, in each direction. The program names
/// all types, but it may make names at run time.
const MAX_TYPES: usize = 256;

/// Counters by type of message, for each key. A counter is found without asking the recorder, which
/// costs more.
#[derive(Debug)]
pub(super) struct Table<K, V>(RwLock<HashMap<K, Types<V>>>);

/// The counters by type. `None` is one that is being made.
type Types<V> = HashMap<String, Option<V>>;

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Table<K, V> {
    /// Returns the counter of a type. `new` makes it for a label.
    pub(super) fn get(&self, key: K, message_type: &str, new: impl FnOnce(String) -> V) -> V {
        if let Some(known) = self.known(key, message_type) {
            return known;
        }
        let name = self.reserve(key, message_type);
        // Made without the lock, because the recorder is code of the program.
        let made = new(if name == UNKNOWN { "unknown" } else { name }.to_owned());
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.entry(key).or_default().insert(name.to_owned(), Some(made.clone()));
        made
    }

    /// Returns the counter of a type that has one, or that has to share one.
    fn known(&self, key: K, message_type: &str) -> Option<V> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let types = table.get(&key)?;
        let shared = || if types.len() < MAX_TYPES { None } else { types.get(OTHER) };
        types.get(message_type).or_else(shared)?.clone()
    }

    /// Returns the name under which the counter of a type has its place.
    fn reserve<'n>(&self, key: K, message_type: &'n str) -> &'n str {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let types = table.entry(key).or_default();
        let name = if types.len() < MAX_TYPES || types.contains_key(message_type) { message_type } else { OTHER };
        types.entry(name.to_owned()).or_insert(None);
        name
    }
}
