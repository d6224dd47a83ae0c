//! A protocol with requests, for the programs under `fail` and `pass`.
#![allow(dead_code, reason = "each program uses a part")]
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use wsx::{Endpoint, Message};

#[derive(Serialize, Deserialize, Message)]
pub struct Notice(pub u32);
#[derive(Serialize, Deserialize, Message)]
pub struct Reboot(pub u32);
#[derive(Serialize, Deserialize, Message)]
pub struct Rebooted(pub u32);
#[derive(Serialize, Deserialize, Message)]
pub struct ReadLog<'a>(#[serde(borrow)] pub Cow<'a, str>);
#[derive(Serialize, Deserialize, Message)]
pub struct LogPage(pub String);
#[derive(Serialize, Deserialize, Message)]
pub struct Update(pub u32);
#[derive(Serialize, Deserialize, Message)]
pub struct Updated(pub u32);
#[derive(Serialize, Deserialize, Message)]
pub struct UpdateRefused(pub String);
#[derive(Serialize, Deserialize, Message)]
pub struct Ping(pub u32);
#[derive(Serialize, Deserialize, Message)]
pub struct Pong(pub u32);
#[derive(Serialize, Deserialize, Message)]
pub struct Reading(pub f64);

wsx::protocol! {
    pub Asked v1 {
        Base -> Unit: Notice, Reboot -> Rebooted, ReadLog<'_> -> LogPage, Update -> Updated | UpdateRefused;
        Unit -> Base: Reading, Updated;
        Unit <-> Base: Ping -> Pong;
        Desk -> Unit: Notice, Update -> Updated | UpdateRefused;
    }
}

/// An endpoint with one peer.
#[derive(Endpoint)]
#[wsx(side = Base, peer = Unit, partial)]
pub struct Station;

/// An endpoint with two peers.
#[derive(Endpoint)]
#[wsx(side = Unit, partial)]
pub struct Device;
