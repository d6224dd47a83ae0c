//! Promises that hold in every module: panics, dropped futures, locks, clocks, dead links,
//! documented limits.
mod cancellation;
mod clock;
mod dependencies;
mod layout;
mod observers;
mod panics;
mod reentrance;
mod reliability;
mod scrapes;
mod security;
mod specification;
mod stderr;
mod test_link;
mod test_peer;
