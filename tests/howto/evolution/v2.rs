use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, wsx::Message)]
#[wsx(type = "telemetry")] // `Telemetry` has a new name in Rust, and the old one on the wire
pub struct Measurement {
    #[serde(rename = "celsius")] // a field with a new name
    pub temperature: f64,
    pub power: Power,
    #[serde(default)] // a new field, which old boxes do not send
    pub humidity: Option<f64>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    Mains,
    Battery,
    Solar, // a new variant
    #[serde(other)]
    Unknown,
}

#[derive(Serialize, Deserialize, wsx::Message)]
pub struct Cmd {
    pub reboot: bool,
    #[serde(default)] // a new field, which old boxes ignore
    pub delay_seconds: u32,
}

#[derive(Serialize, Deserialize, wsx::Message)]
pub struct DoorOpened {} // a new message

#[derive(Serialize, Deserialize, wsx::Message)]
pub struct Diagnose {} // a new request

#[derive(Serialize, Deserialize, wsx::Message)]
pub struct Diagnosis {
    pub free_bytes: u64,
}

wsx::protocol! {
    pub Fleet v2 {
        Edge -> Server: Measurement, DoorOpened;
        Server -> Edge: Cmd, Diagnose -> Diagnosis;
    }
}
