use wsx_tests::fleet::{Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler(Health, on = Station)]
fn on_health(_msg: Health) {}

fn main() {}
