#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler("reboot", on = Device)]
fn on_reboot(_msg: &Reboot) -> Rebooted {
    todo!()
}

fn main() {}
