//! The hub, and everything between a socket and its place in the hub.
mod admission;
mod hub;
mod mount;
mod open_files;
mod shutdown;
