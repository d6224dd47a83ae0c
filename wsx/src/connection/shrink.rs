//! Frees the memory of a map after many of its entries have gone.
use crate::connection::loom_or_std::RandomState;
use std::{collections::HashMap, sync::Arc};

/// Frees the free places of a map, if most are free. A visit of all entries looks at them too.
pub(crate) fn shrink<V>(map: &mut HashMap<Arc<str>, V, RandomState>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 8 {
        map.shrink_to_fit();
    }
}
