use wsx_tests::fleet::{Cmd, Health, Server};

struct Station;

#[wsx::handler(on = Station)]
async fn on_health(_msg: Health, _conn: wsx::Connection<Server>) -> Option<Cmd> {
    None
}

fn main() {}
