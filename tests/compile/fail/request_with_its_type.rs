#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler("reboot", on = Device)]
fn on_reboot(_msg: Reboot, _device: &Device) -> Pong {
    todo!()
}

fn main() {}
