//! Kept messages: what arrives after an outage, and in which order.
mod both_ends;
mod disk;
mod events;
mod failures;
mod hostile;
mod memory_store;
mod moments;
mod on_the_wire;
mod other_versions;
mod panics;
mod stale;
mod states;
mod tested;
mod time;
