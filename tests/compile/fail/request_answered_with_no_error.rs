#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Device)]
fn on_reboot(_msg: Reboot) -> Result<Rebooted, u32> {
    Err(1)
}

fn main() {}
