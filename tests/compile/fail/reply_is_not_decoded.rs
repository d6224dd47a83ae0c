#[path = "../requests.rs"]
mod requests;
use requests::*;

#[derive(serde::Serialize, wsx::Message)]
struct Started;

wsx::protocol! { Meter v1 { Hand -> Clock: Reboot -> Started; } }

fn main() {}
