use wsx_tests::fleet::{Cmd, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, peer = Cmd)]
struct Station;

fn main() {}
