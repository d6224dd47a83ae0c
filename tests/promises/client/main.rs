//! The client: how it connects, reconnects, and survives hostile servers.
mod answer;
mod client;
mod dialling;
mod flush;
mod hostile_server;
mod letter;
mod nginx;
mod reconnect;
mod retry;
mod urls;
