//! `Debug` of an enum whose messages may be without it.
use std::fmt;

/// A message that may be without `Debug`. Its own method takes precedence over the one of
/// [`NotShown`].
#[allow(missing_debug_implementations, reason = "it exists for types without `Debug`")]
pub struct Shown<'a, T>(pub &'a T);

impl<T: fmt::Debug> Shown<'_, T> {
    /// The message.
    #[must_use]
    pub fn get(&self) -> Option<&dyn fmt::Debug> {
        Some(self.0)
    }
}

/// A message without `Debug`.
pub trait NotShown {
    /// Nothing.
    fn get(&self) -> Option<&dyn fmt::Debug> {
        None
    }
}
impl<T> NotShown for Shown<'_, T> {}

/// A variant with its message.
///
/// # Errors
///
/// As the formatter.
pub fn show(f: &mut fmt::Formatter<'_>, variant: &str, message: Option<&dyn fmt::Debug>) -> fmt::Result {
    let mut shown = f.debug_tuple(variant);
    match message {
        Some(message) => shown.field(message).finish(),
        None => shown.finish_non_exhaustive(),
    }
}
