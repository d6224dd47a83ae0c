use wsx_tests::fleet::{Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler("health", on = Station)]
fn on_health(_msg: Health) -> u32 {
    1
}

fn main() {}
