//! The schemas of a protocol's messages, with the feature `contract`.

/// Describes a protocol.
#[cfg(feature = "contract")]
#[doc(hidden)]
#[macro_export]
macro_rules! __wsx_schemas {
    ($name:ident, $docs:expr; $($message:expr, $reply:expr, $refusal:expr;)*) => {
        impl $crate::contract::Described for $name {
            const DESCRIPTION: $crate::__private::Description = $name::DESCRIPTION;
            const DOCS: &'static [&'static $crate::__private::str] = $docs;
            fn schemas() -> $crate::__private::Vec<[$crate::__private::Option<$crate::__private::SchemaOf>; 3]> {
                <[_]>::into_vec($crate::__private::Box::new([$([$message, $reply, $refusal]),*]))
            }
        }
    };
}

/// Without the feature, a protocol has no schemas.
#[cfg(not(feature = "contract"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __wsx_schemas {
    ($($tokens:tt)*) => {};
}

pub use crate::__wsx_schemas as schemas;
