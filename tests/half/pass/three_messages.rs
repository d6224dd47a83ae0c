//! A protocol of three messages and a reply, written and read without a connection.
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use wsx::{
    Envelope, Message as _,
    envelope::{AskedBy, SentBy},
};

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Telemetry<'a> {
    #[serde(borrow)]
    pub place: Cow<'a, str>,
    pub celsius: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, wsx::Message)]
pub struct Reboot {
    pub delay_s: u32,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
pub struct Rebooted {
    pub uptime_s: u64,
}

#[derive(Debug, Serialize, Deserialize, wsx::Message)]
#[wsx(type = "log/v2")]
pub struct Log {
    pub lines: Vec<String>,
}

wsx::protocol! {
    pub Fleet v3 {
        Edge -> Server: Telemetry<'_>;
        Server -> Edge: Reboot -> Rebooted;
        Edge <-> Server: Log;
    }
}

fn text<M: Serialize + SentBy<Edge, Server>>(message: M, message_type: &'static str) -> String {
    serde_json::to_string(&Envelope::with_type(message_type, message)).unwrap()
}

fn main() {
    let sent = text(Telemetry { place: "roof".into(), celsius: 21.5 }, Telemetry::TYPE);
    let read = Envelope::<Telemetry<'_>>::parse(&sent).unwrap();
    assert_eq!((&*read.message_type, &*read.data.place, read.data.celsius), ("telemetry", "roof", 21.5));
    assert!(matches!(
        ServerInbound::decode("telemetry", r#"{"place":"roof","celsius":21.5}"#),
        Some(Ok(ServerInbound::Telemetry(_)))
    ));
    assert!(matches!(EdgeInbound::decode("reboot", r#"{"delay_s":5}"#), Some(Ok(EdgeInbound::Reboot(_)))));
    assert!(EdgeInbound::decode("telemetry", "{}").is_none());
    assert_eq!(<<Reboot as AskedBy<Server, Edge>>::Reply as wsx::Message>::TYPE, "rebooted");
    let wrong = Envelope::<Reboot>::parse(r#"{"ver":1.0,"type":"reboot"}"#).unwrap_err();
    assert!(wrong.to_string().starts_with("`ver`: "), "{wrong}");
    let to_edge = Fleet::DESCRIPTION.messages.iter().filter(|travel| travel.to == "Edge");
    assert!(to_edge.map(|travel| travel.message_type).eq(["reboot", "log/v2"]));
}
