//! The types of messages that other nodes pass on, as constants of this program. An observer counts
//! by constants.
use std::{
    collections::HashSet,
    sync::{LazyLock, PoisonError, RwLock},
};

/// Maximum number of types. A protocol has some tens of messages, and a cluster few protocols.
const MAX_TYPES: usize = 1024;

/// Maximum length of a type, in bytes, so that all of them have 256 KiB at most. The names of
/// messages are far shorter.
const MAX_LENGTH: usize = 256;

/// Types that were seen. Their memory is never freed.
#[derive(Default)]
struct Types(RwLock<HashSet<&'static str>>);

/// Returns this type as a constant. It is empty if it is too long, or if the program has too many,
/// as it is for a type that the program does not declare.
pub(super) fn constant(message_type: &str) -> &'static str {
    static TYPES: LazyLock<Types> = LazyLock::new(Types::default);
    TYPES.constant(message_type)
}

impl Types {
    fn constant(&self, message_type: &str) -> &'static str {
        if message_type.is_empty() || message_type.len() > MAX_LENGTH {
            return "";
        }
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(message_type) {
            return known;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have added it meanwhile.
        if let Some(known) = known.get(message_type) {
            return known;
        }
        if known.len() >= MAX_TYPES {
            return "";
        }
        let constant: &'static str = Box::leak(message_type.into());
        known.insert(constant);
        constant
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_kept_once() {
        let (one, other) = (constant("a_type_of_a_test"), constant(&String::from("a_type_of_a_test")));
        assert_eq!((one, one.as_ptr()), ("a_type_of_a_test", other.as_ptr()));
    }

    /// Row J11: another node cannot fill the memory of this one with types.
    #[test]
    fn there_are_at_most_1024_types_of_at_most_256_bytes() {
        let types = Types::default();
        let (longest, too_long) = ("x".repeat(256), "x".repeat(257));
        assert_eq!((types.constant(&longest), types.constant(&too_long)), (&*longest, ""));
        for number in 1..1024 {
            assert_eq!(types.constant(&number.to_string()), number.to_string());
        }
        for number in [1024, 1025] {
            assert_eq!(types.constant(&number.to_string()), "");
        }
        assert_eq!(types.constant("1023"), "1023", "the earlier ones stay");
        assert_eq!(types.0.read().unwrap().len(), 1024);
    }
}
