#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Device)]
fn on_reboot(_conn: wsx::Connection<Unit>, _msg: wsx::Envelope<Reboot>) -> Pong {
    todo!()
}

fn main() {}
