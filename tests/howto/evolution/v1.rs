use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, wsx::Message)]
pub struct Telemetry {
    pub celsius: f64,
    pub power: Power,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    Mains,
    Battery,
    #[serde(other)]
    Unknown, // a variant of a later version
}

#[derive(Serialize, Deserialize, wsx::Message)]
pub struct Cmd {
    pub reboot: bool,
}

wsx::protocol! {
    pub Fleet v1 {
        Edge -> Server: Telemetry;
        Server -> Edge: Cmd;
    }
}
