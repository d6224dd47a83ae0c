#[path = "../requests.rs"]
mod requests;
use requests::*;

#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
#[wsx(delivery = at_least_once)]
struct Reset;

wsx::protocol! { Meter v1 { Hand <-> Clock: Reset -> Rebooted, Rebooted; } }

fn main() {}
