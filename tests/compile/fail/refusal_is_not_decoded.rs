#[path = "../requests.rs"]
mod requests;
use requests::*;

#[derive(serde::Serialize, wsx::Message)]
struct Refused;

wsx::protocol! { Meter v1 { Hand -> Clock: Reboot -> Rebooted | Refused; } }

fn main() {}
