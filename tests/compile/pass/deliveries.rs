//! Every way to declare how a message is delivered, beside names that the derive also uses.
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};
use wsx::{
    Message,
    message::{Kept, State},
};

/// A program's own trait, whose methods have the names of wsx.
trait Slotted {
    fn slot(&self) -> u8;
    fn policy(&self) -> u8;
}

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_most_once)]
struct Plain;
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(ttl = "1ms")]
struct Short {}
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(full = reject)]
#[wsx(ttl = "365d", type = "meter/v2", delivery = at_least_once,)]
enum Meter {
    Water(u64),
    Power { watt_hours: u64 },
}
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest, key = r#type)]
struct Level<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    message: u8,
    policy: u8,
}
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest, key = message)]
#[serde(rename_all = "UPPERCASE")]
struct Named {
    message: Place,
}
#[derive(Serialize, Deserialize)]
enum Place {
    Roof,
    Room { floor: u8 },
}
#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Config(BTreeMap<String, u8>);

impl Slotted for Level<'_> {
    fn slot(&self) -> u8 {
        self.message
    }
    fn policy(&self) -> u8 {
        self.policy
    }
}

wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Plain, Short, Meter, Level<'_>;
        Server -> Edge: Config;
        Edge <-> Server: Named;
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

/// A handler may return a message that is kept.
#[wsx::handler(on = Station)]
fn on_meter(meter: Meter) -> Option<Config> {
    match meter {
        Meter::Water(litres) => (litres > 5).then(|| Config(BTreeMap::new())),
        Meter::Power { watt_hours } => (watt_hours > 5).then(|| Config(BTreeMap::new())),
    }
}

fn kept<M: Kept>(message: &M) -> String {
    format!("{}: {:?}", M::POLICY, M::slot(message))
}

fn state<M: State>(message: &M) -> String {
    kept(message)
}

fn main() {
    let level = Level { r#type: "tank".into(), message: 1, policy: 2 };
    assert_eq!((level.slot(), level.policy()), (1, 2));
    assert_eq!(kept(&level), r#"latest, key type: Some("\"tank\"")"#);
    assert_eq!(kept(&Named { message: Place::Roof }), r#"latest, key message: Some("\"Roof\"")"#);
    assert_eq!(
        kept(&Named { message: Place::Room { floor: 2 } }),
        r#"latest, key message: Some("{\"Room\":{\"floor\":2}}")"#
    );
    assert_eq!(kept(&Meter::Water(1)), "at_least_once, ttl 365d: None");
    assert_eq!(state(&Config(BTreeMap::new())), "state: None");
    assert_eq!(
        (Plain::POLICY.to_string(), Short::POLICY.to_string()),
        ("at_most_once".into(), "at_most_once, ttl 1ms".into())
    );
    assert_eq!(Fleet::DESCRIPTION.messages.iter().filter(|message| message.policy.is_kept()).count(), 5);
    assert!(wsx::Hub::builder().endpoint(Station).build().is_ok());
}
