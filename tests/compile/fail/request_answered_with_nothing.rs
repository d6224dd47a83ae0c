#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Device)]
fn on_reboot(_msg: Reboot) {}

fn main() {}
