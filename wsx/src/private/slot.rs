//! The text of a message's key.
use serde::Serialize;

/// The type of a key field.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of a message: it does not implement `Serialize`",
    label = "not a key",
    note = "a key is a text, a number, or another type with `#[derive(serde::Serialize)]`"
)]
pub trait SlotKey: Serialize {}
impl<T: Serialize + ?Sized> SlotKey for T {}

/// Returns the JSON of a key field. Without it, a message that does not serialize would have a
/// slot; its send returns the error.
pub fn slot<K: SlotKey + ?Sized>(key: &K) -> Option<String> {
    serde_json::to_string(key).ok()
}
