//! One connection: its queue, its order, its limits and its close.
mod bad_requests;
mod compression;
mod concurrent;
mod connection;
mod frames;
mod limits;
mod memory;
mod reading_ahead;
mod receive_limit;
mod requests;
mod signs_of_life;
mod tcp_options;
mod turns;
mod two_ways;
mod unfinished;
mod weak_links;
