#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Device)]
fn on_notice(_msg: Notice) -> Rebooted {
    todo!()
}

fn main() {}
