#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Station)]
fn on_rebooted(_msg: Rebooted) {}

fn main() {}
