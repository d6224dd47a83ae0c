#[path = "../requests.rs"]
mod requests;
use requests::*;

wsx::protocol! { Meter v1 { Hand -> Clock: Reboot -> Rebooted; } }
#[derive(wsx::Endpoint)]
#[wsx(side = Clock)]
struct Dial;

#[wsx::handler(on = Dial)]
fn on_reboot(_msg: Reboot) {}

fn main() {}
