use wsx_tests::fleet::{Edge, Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler("health", on = Station)]
fn on_health(_msg: Health, _conn: wsx::Connection<Edge>) {}

fn main() {}
