#[path = "../requests.rs"]
mod requests;
use requests::*;

#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
#[wsx(ttl = "5s")]
struct Reset;

wsx::protocol! { Meter v1 { Hand -> Clock: Reset -> Rebooted; } }

fn main() {}
