//! Kept messages: what arrives after an outage, and in which order.
mod both_ends;
mod on_the_wire;
