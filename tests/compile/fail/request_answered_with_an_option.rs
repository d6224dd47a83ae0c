#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Device)]
async fn on_reboot(_msg: Reboot) -> Option<Rebooted> {
    None
}

fn main() {}
