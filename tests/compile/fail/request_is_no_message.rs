#[path = "../requests.rs"]
mod requests;
use requests::*;

wsx::protocol! { Meter v1 { Hand <-> Clock: String -> Rebooted; } }

fn main() {}
