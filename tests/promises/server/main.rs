//! The hub, and the way of a connection from its socket to its entry in the hub.
mod addresses;
mod admission;
mod duplicates;
mod health;
mod hub;
mod labels;
mod mount;
mod open_files;
mod presence;
mod presence_changes;
mod proxies;
mod real_proxies;
mod rejections;
mod returning_fleet;
mod shutdown;
mod slow_consumers;
