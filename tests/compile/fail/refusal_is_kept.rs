#[path = "../requests.rs"]
mod requests;
use requests::*;

#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
#[wsx(delivery = state)]
struct Denied;

wsx::protocol! { Meter v1 { Hand -> Clock: Reboot -> Rebooted | Denied; } }

fn main() {}
