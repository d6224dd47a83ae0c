//! A program without any prelude.
#![no_implicit_prelude]
use ::core::prelude::v1::derive;
#[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
struct Health {
    ok: bool,
}
#[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
struct Tele<'a> {
    #[serde(borrow)]
    name: ::std::borrow::Cow<'a, str>,
}
#[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
struct Cmd {
    reboot: bool,
}
#[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
struct Ping(u8);
#[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
struct Pong(u8);
#[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
struct Denied(u8);
#[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
#[wsx(delivery = latest, ttl = "1h", key = place)]
struct Level {
    place: u8,
}
#[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
#[wsx(delivery = state)]
struct Config(u8);
mod proto {
    use super::*;
    ::wsx::protocol! {
        pub(super) Fleet v1 {
            Edge -> Server: Health, Tele<'_>, Level;
            Server -> Edge: Cmd, Config;
            Con -> Server: Cmd;
            Edge <-> Server: Ping -> Pong | Denied;
        }
    }
}
use proto::*;
#[derive(::wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;
#[::wsx::handler(on = Station)]
fn on_health(station: &Station, health: Health) -> Cmd {
    let _ = station;
    Cmd { reboot: !health.ok }
}
#[::wsx::handler(on = Station)]
async fn on_tele(
    hub: &::wsx::Hub<Station>,
    health: Tele<'_>,
    conn: ::wsx::Connection<Server>,
) -> ::std::result::Result<::std::option::Option<Cmd>, ::wsx::SendError> {
    let _ = (hub, health.name, conn);
    ::std::result::Result::Ok(::std::option::Option::None)
}
#[::wsx::handler(on = Station)]
fn on_cmd(cmd: ::wsx::Envelope<Cmd>) {
    let _ = cmd.data.reboot;
}
#[::wsx::handler(on = Station)]
fn on_level(level: Level) -> Config {
    Config(level.place)
}
#[::wsx::handler(on = Station, concurrent = 2)]
async fn on_ping(ping: Ping) -> ::std::result::Result<Pong, Denied> {
    ::std::result::Result::Ok(Pong(ping.0))
}
#[::wsx::handler("loose")]
async fn on_loose(_n: u8, s: ::wsx::State<u8>, c: &::wsx::Connection) {
    let _ = (s, c);
}
#[::wsx::handler("__close__")]
fn on_close(c: ::wsx::Closed) -> ::std::result::Result<(), ::wsx::BoxError> {
    let _ = c;
    ::std::result::Result::Ok(())
}
fn main() {
    ::std::assert_eq!(
        ::wsx::Hub::builder().endpoint(Station).build().unwrap().handled_types(),
        ["cmd", "health", "level", "ping", "tele"]
    );
    ::std::assert_eq!(Fleet::VERSION, 1);
}
