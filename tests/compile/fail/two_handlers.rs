use wsx_tests::fleet::{Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler("health", on = Station)]
fn on_health(_msg: Health) {}

#[wsx::handler(on = Station)]
fn again(_msg: Health) {}

fn main() {}
