#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler("reboot", on = Device)]
fn on_reboot(_delay: u32) {}

fn main() {}
