#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Station)]
fn on_reading(_msg: Reading) -> Option<Reboot> {
    None
}

fn main() {}
