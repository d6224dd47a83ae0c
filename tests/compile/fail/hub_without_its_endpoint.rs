use wsx_tests::fleet::{Cmd, Edge};

#[derive(wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox;

#[wsx::handler("cmd")]
fn on_cmd(_hub: &wsx::Hub<EdgeBox>, _msg: Cmd) {}

fn main() {}
