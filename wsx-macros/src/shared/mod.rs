//! The parts that the macros share.
//!
//! Does not know any of the macros.

mod errors;
mod key;
mod lifetimes;
mod options;
mod snake_case;
mod spans;

pub(crate) use errors::Errors;
pub(crate) use key::key_of;
pub(crate) use lifetimes::{has_lifetime, with_lifetimes};
pub(crate) use options::{Wsx, once, options};
pub(crate) use snake_case::snake_case;
pub(crate) use spans::{last, path_span, respan, type_span};
