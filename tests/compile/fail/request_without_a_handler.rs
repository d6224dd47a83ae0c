use wsx_tests::fleet::{Cmd, Health};

wsx::protocol! { Meter v1 { Hand <-> Clock: Cmd -> Health; } }

#[derive(wsx::Endpoint)]
#[wsx(side = Clock)]
struct Dial;

fn main() {}
