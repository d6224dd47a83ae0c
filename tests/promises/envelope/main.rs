//! What is on the wire, and how the engine reads it: rows E1 to E4 of the specification.
mod one_pass;
mod wire;
