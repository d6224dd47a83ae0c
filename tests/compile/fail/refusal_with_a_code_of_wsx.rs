#[path = "../requests.rs"]
mod requests;
use requests::*;

#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Busy;

wsx::protocol! { Meter v1 { Hand -> Clock: Reboot -> Rebooted | Busy; } }

fn main() {}
