//! The client: how it connects, reconnects, and survives hostile servers.
mod client;
mod dialling;
mod hostile_server;
mod reconnect;
