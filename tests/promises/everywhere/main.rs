//! Promises that hold in every module: panics, dropped futures, locks, clocks, dead links,
//! documented limits.
mod cancellation;
mod clock;
mod dependencies;
mod layout;
mod panics;
mod reentrance;
mod reliability;
mod security;
mod specification;
mod stderr;
