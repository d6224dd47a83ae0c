//! The client: how it connects, comes back, and survives a server that means harm.
mod client;
mod hostile_server;
mod reconnect;
