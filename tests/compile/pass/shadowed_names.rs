//! Names that generated code must not pick up: names of the prelude, of primitive types, of `std`,
//! and of wsx itself.
#![allow(dead_code, unused_macros, non_camel_case_types)]

struct bool;
struct str;
struct u32;
struct u64;
struct usize;
struct Clone;
struct Copy;
struct Debug;
struct None;
struct Option;
struct Result;
struct Box;
struct Vec;
struct String;
struct Some;
struct Ok;
mod std {}
mod core {}
mod diagnostic {}
struct Infallible;
struct Policy;
struct Delivery;
struct Kept;
struct State;
mod serde_json {}
mod inventory {}
macro_rules! concat {
    () => {};
}
macro_rules! line {
    () => {};
}
macro_rules! module_path {
    () => {};
}

mod fleet {
    mod wsx {}

    #[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
    pub(super) struct Health {
        pub(super) ok: ::std::primitive::bool,
    }
    #[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
    pub(super) struct Cmd {
        pub(super) reboot: ::std::primitive::bool,
    }
    #[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
    pub(super) struct Denied {
        pub(super) why: ::std::primitive::u8,
    }
    #[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
    #[wsx(delivery = latest, ttl = "1h", key = place)]
    pub(super) struct Level {
        pub(super) place: ::std::primitive::u8,
    }
    #[derive(::serde::Serialize, ::serde::Deserialize, ::wsx::Message)]
    #[wsx(delivery = state)]
    pub(super) struct Config;
    mod diagnostic {}
    struct Infallible;
    struct Option;
    struct String;
    struct Policy;
    struct Delivery;
    struct Kept;
    struct State;
    ::wsx::protocol! {
        pub(super) Fleet v1 {
            Edge -> Server: Health -> Cmd | Denied;
            Server -> Edge: Denied -> Cmd, Level, Config;
        }
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = fleet::Server)]
struct Station;

#[wsx::handler(on = Station)]
fn on_health(health: fleet::Health) -> ::std::result::Result<fleet::Cmd, fleet::Denied> {
    ::std::result::Result::Ok(fleet::Cmd { reboot: !health.ok })
}

#[wsx::handler("loose")]
async fn on_loose(_n: ::std::primitive::u8) {}

fn main() {
    assert_eq!(wsx::Hub::builder().endpoint(Station).build().unwrap().handled_types(), ["health"]);
    assert_eq!(wsx::Hub::new().handled_types(), ["loose"]);
}
