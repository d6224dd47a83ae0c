#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Device)]
async fn on_read_log(_msg: ReadLog<'_>) -> Rebooted {
    todo!()
}

fn main() {}
