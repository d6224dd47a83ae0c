use wsx_tests::fleet::{Cmd, Edge};

#[derive(wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox;

#[wsx::handler]
fn on_cmd(_edge: &EdgeBox, _msg: Cmd) {}

fn main() {}
