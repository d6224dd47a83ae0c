//! Messages that declare how they are delivered, without the engine.
use serde::{Deserialize, Serialize};
use std::time::Duration;
use wsx::{
    Message as _,
    message::{Delivery, Full, Kept, State},
};

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "1h", full = drop_oldest)]
pub struct Meter {
    pub watt_hours: u64,
}

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest, key = device)]
pub struct Level {
    pub device: String,
    pub percent: u8,
}

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
pub struct Config {
    pub rate: u32,
}

wsx::protocol! {
    pub Fleet v1 {
        Edge -> Server: Meter, Level;
        Server -> Edge: Config;
    }
}

fn delivery<M: Kept>() -> Delivery {
    M::POLICY.delivery
}

fn is_state<M: State>() -> bool {
    delivery::<M>() == Delivery::State
}

fn main() {
    assert_eq!((Meter::POLICY.ttl, Meter::POLICY.full), (Some(Duration::from_secs(3_600)), Full::DropOldest));
    assert_eq!([delivery::<Meter>(), delivery::<Level>()], [Delivery::AtLeastOnce, Delivery::Latest]);
    assert!(is_state::<Config>());
    let policies = Fleet::DESCRIPTION.messages.iter().map(|travel| travel.policy.to_string());
    assert!(policies.eq(["at_least_once, ttl 1h, full drop_oldest", "latest, key device", "state"]));
    let description = serde_json::to_value(Fleet::DESCRIPTION).unwrap();
    assert_eq!(description["messages"][1]["policy"], serde_json::json!({"delivery": "latest", "key": "device"}));
}
