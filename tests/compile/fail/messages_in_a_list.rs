use wsx_tests::fleet::{Cmd, Edge};

#[derive(wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox;

#[wsx::handler(on = EdgeBox)]
fn on_cmds(_edge: &EdgeBox, _msgs: Vec<Cmd>, _meta: wsx::Meta<'_>) {}

fn main() {}
