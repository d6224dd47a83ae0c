#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Station)]
fn on_reboot(_msg: Reboot) -> Rebooted {
    todo!()
}

fn main() {}
