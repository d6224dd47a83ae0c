//! The client: how it connects, reconnects, and survives hostile servers.
mod client;
mod hostile_server;
mod reconnect;
