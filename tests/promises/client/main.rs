//! The client: how it connects, reconnects, and survives hostile servers.
mod client;
mod dialling;
mod flush;
mod hostile_server;
mod reconnect;
