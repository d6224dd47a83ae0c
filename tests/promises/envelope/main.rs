//! What is on the wire, and how the engine reads it.
mod one_pass;
mod wire;
