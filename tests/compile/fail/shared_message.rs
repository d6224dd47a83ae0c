use wsx_tests::fleet::{Cmd, Edge};

#[derive(wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox;

#[wsx::handler(on = EdgeBox)]
fn on_cmd(_msg: std::sync::Arc<Cmd>) {}

fn main() {}
