//! A lock file that is compiled into a program. It does not know what the file says.

/// Every released version of a protocol, compiled into the program.
///
/// [`released!`](macro@crate::contract::released) makes it of the lock file. Give it to
/// `Hub::builder().contract(..)` and to `Client::builder(..).contract(..)`.
#[derive(Debug, Clone, Copy)]
pub struct Released(&'static str);

/// Takes a lock file into the program: a [`Released`](crate::contract::Released).
///
/// The path is relative to the `Cargo.toml` of the crate, as that of
/// [`check!`](macro@crate::contract::check).
/// [`wsx::contract`](crate::contract#mixed-versions) has an example.
#[macro_export]
#[doc(hidden)]
macro_rules! contract_released {
    ($path:literal) => {
        $crate::contract::Released::__new(::std::include_str!(::std::concat!(
            ::std::env!("CARGO_MANIFEST_DIR"),
            "/",
            $path
        )))
    };
}

impl Released {
    #[doc(hidden)]
    #[must_use]
    pub const fn __new(text: &'static str) -> Self {
        Self(text)
    }

    /// Returns the text of the lock file.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.0
    }
}
