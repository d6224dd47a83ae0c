//! The package of `instructions.rs` and `allocations.rs`, which count what a message costs. It has
//! nothing of its own.
