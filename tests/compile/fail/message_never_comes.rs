use wsx_tests::fleet::{self, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler("cmd", on = Station)]
fn on_cmd(_msg: fleet::Cmd) {}

fn main() {}
