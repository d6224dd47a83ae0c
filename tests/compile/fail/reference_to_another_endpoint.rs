use wsx_tests::fleet::{Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

struct Other;

#[wsx::handler("health", on = Station)]
fn on_health(_msg: Health, _other: &Other) {}

fn main() {}
