#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler("reboot", on = Device)]
async fn on_reboot(_device: &Device) -> Rebooted {
    Rebooted(1)
}

fn main() {}
