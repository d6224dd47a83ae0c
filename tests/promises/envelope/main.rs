//! The bytes on the wire, and how the engine reads them: rows E1 to E4 of the specification.
mod one_pass;
mod wire;
