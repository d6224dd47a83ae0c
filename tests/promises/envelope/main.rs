//! The bytes on the wire, and how the engine reads them.
mod one_pass;
mod wire;
