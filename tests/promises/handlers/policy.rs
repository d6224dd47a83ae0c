//! Row G1 of the specification: what a type declares about its delivery, as a program and a
//! protocol see it.
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{borrow::Cow, time::Duration};
use wsx::{
    Envelope, Message,
    envelope::Outbound,
    message::{Delivery, Full, Kept, Policy, State},
};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Telemetry {
    celsius: f64,
}
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(ttl = "90s")]
struct Position {
    east: f64,
}
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "1h", full = drop_oldest)]
struct Meter {
    watt_hours: u64,
}
#[derive(Debug, Clone, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest, key = device, type = "level/v2")]
struct Level<'a> {
    #[serde(borrow, rename = "dev")]
    device: Cow<'a, str>,
    percent: u8,
}
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Config {
    rate: u32,
}
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(delivery = latest)]
enum Mode {
    Day,
    Night { lamps: u8 },
}
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Reboot;
#[derive(Debug, Serialize, Deserialize, wsx::Message)]
struct Rebooted;

wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Telemetry, Position, Meter, Level<'_>;
        Server -> Edge: Config, Mode, Reboot -> Rebooted;
    }
}

/// The same messages, none of which declares anything.
mod plain {
    macro_rules! messages {
        ($($name:ident)*) => {$(
            #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
            pub(super) struct $name;
        )*};
    }
    messages! { Meter Config }
    wsx::protocol! { pub(super) Line v1 { Edge -> Server: Meter; Server -> Edge: Config; } }
}
mod declared {
    #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
    #[wsx(delivery = at_least_once)]
    pub(super) struct Meter;
    #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
    pub(super) struct Config;
    wsx::protocol! { pub(super) Line v1 { Edge -> Server: Meter; Server -> Edge: Config; } }
}

/// Row G1: the constant of a type has what its attribute declares.
#[test]
fn a_type_has_the_policy_that_it_declares() {
    assert_eq!(Telemetry::POLICY, Policy::AT_MOST_ONCE);
    let parts = |policy: Policy| (policy.delivery, policy.ttl, policy.key, policy.full);
    let (reject, ttl) = (Full::Reject, Duration::from_secs);
    assert_eq!(parts(Telemetry::POLICY), (Delivery::AtMostOnce, None, None, reject));
    assert_eq!(parts(Position::POLICY), (Delivery::AtMostOnce, Some(ttl(90)), None, reject));
    assert_eq!(parts(Meter::POLICY), (Delivery::AtLeastOnce, Some(ttl(3_600)), None, Full::DropOldest));
    assert_eq!(parts(Level::POLICY), (Delivery::Latest, None, Some("device"), reject));
    assert_eq!(parts(Config::POLICY), (Delivery::State, None, None, reject));
    assert_eq!(parts(Mode::POLICY), (Delivery::Latest, None, None, reject));
    let kept = [Telemetry::POLICY, Position::POLICY, Meter::POLICY, Level::POLICY, Config::POLICY, Mode::POLICY];
    assert_eq!(kept.map(|policy| policy.is_kept()), [false, false, true, true, true, true]);
}

/// Row G1: a type that is kept, and a type that is a state, are that for a generic function too.
#[test]
fn a_generic_function_can_require_a_kept_message_or_a_state() {
    fn kept<M: Kept>() -> Delivery {
        M::POLICY.delivery
    }
    fn state<M: State>() -> Delivery {
        // A state is kept.
        kept::<M>()
    }
    assert_eq!(
        [kept::<Meter>(), kept::<Level<'_>>(), kept::<Mode>()],
        [Delivery::AtLeastOnce, Delivery::Latest, Delivery::Latest]
    );
    assert_eq!(state::<Config>(), Delivery::State);
}

/// Row G1: a message and its envelope have the policy of the type, and the JSON of the key. Other
/// envelopes are delivered at most once.
#[test]
fn an_envelope_of_a_message_keeps_its_policy() {
    fn declared(message: &impl Outbound) -> (Policy, Option<String>) {
        (message.policy(), message.slot())
    }
    let level = || Level { device: "a\"b".into(), percent: 5 };
    let (policy, slot) = declared(&level());
    assert_eq!((policy, slot.as_deref()), (Level::POLICY, Some(r#""a\"b""#)));
    assert_eq!(declared(&Envelope::from(level())), (policy, slot.clone()));
    assert_eq!(declared(&Envelope::from(level()).clone()), (policy, slot));
    assert_eq!(declared(&Meter { watt_hours: 1 }), (Meter::POLICY, None));
    assert_eq!(declared(&Envelope::from(Meter { watt_hours: 1 })), (Meter::POLICY, None));
    assert_eq!(declared(&Envelope::from(Mode::Night { lamps: 2 })), (Mode::POLICY, None));
    assert_eq!(declared(&Envelope::from(Position { east: 1.0 })), (Position::POLICY, None));

    let plain = (Policy::AT_MOST_ONCE, None);
    assert_eq!(declared(&Telemetry { celsius: 1.0 }), plain);
    assert_eq!(declared(&Envelope::from(Telemetry { celsius: 1.0 })), plain);
    assert_eq!(declared(&Envelope::with_type("meter", Meter { watt_hours: 1 })), plain);
    let parsed = Envelope::<Meter>::parse(r#"{"type":"meter","data":{"watt_hours":1}}"#).unwrap();
    assert_eq!(declared(&parsed), plain);
    let envelope = Envelope::from(Mode::Day);
    let text = json!({"ver": 1, "type": "mode", "ts": envelope.ts, "data": "Day"});
    assert_eq!(serde_json::to_value(&envelope).unwrap(), text, "a policy is not on the wire");
}

/// Row G1: the description of a protocol has the policy of each message that declares one.
#[test]
fn a_protocol_describes_the_policies_of_its_messages() {
    let text = Fleet::DESCRIPTION.to_string();
    let lines: Vec<&str> = text.lines().skip(1).filter_map(|line| line.trim().split(" (").next()).collect();
    assert_eq!(
        lines,
        [
            "Edge -> Server: telemetry",
            "Edge -> Server: position [at_most_once, ttl 90s]",
            "Edge -> Server: meter [at_least_once, ttl 1h, full drop_oldest]",
            "Edge -> Server: level/v2 [latest, key device]",
            "Server -> Edge: config [state]",
            "Server -> Edge: mode [latest]",
            "Server -> Edge: reboot -> rebooted",
        ]
    );
    assert_eq!(Fleet::DESCRIPTION.messages[2].policy, Meter::POLICY);
    let messages = serde_json::to_value(Fleet::DESCRIPTION).unwrap()["messages"].take();
    assert_eq!(messages[0].get("policy"), None);
    assert_eq!(messages[1]["policy"], json!({"delivery": "at_most_once", "ttl": 90_000}));
    assert_eq!(messages[2]["policy"], json!({"delivery": "at_least_once", "ttl": 3_600_000, "full": "drop_oldest"}));
    assert_eq!(messages[3]["policy"], json!({"delivery": "latest", "key": "device"}));
    assert_eq!(messages[4]["policy"], json!({"delivery": "state"}));
    assert_eq!(messages[6].get("policy"), None, "a request has a deadline of its own");
}

/// Row G1: a policy changes the fingerprint of the protocol, and not that of the message.
#[test]
fn a_policy_belongs_to_the_fingerprint_of_the_protocol() {
    let messages = |messages: &[wsx::protocol::Travel]| messages.iter().map(|one| one.fingerprint).collect::<Vec<_>>();
    assert_eq!(messages(declared::Line::DESCRIPTION.messages), messages(plain::Line::DESCRIPTION.messages));
    assert_ne!(declared::Line::FINGERPRINT, plain::Line::FINGERPRINT);
}
