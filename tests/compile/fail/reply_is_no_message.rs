#[path = "../requests.rs"]
mod requests;
use requests::*;
wsx::protocol! { Meter v1 { Hand -> Clock: Reboot -> Rebooted, Update -> String; } }

#[derive(wsx::Endpoint)]
#[wsx(side = Clock, partial)]
struct Dial;

#[wsx::handler(on = Dial)]
fn on_update(_msg: Update) -> String { todo!() }

fn main() {}
