use wsx_tests::fleet::{Cmd, Health};

wsx::protocol! {
    Meter v1 {
        Edge -> Server: Health;
        Server => Edge: Cmd;
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Edge)]
struct EdgeBox;

fn main() {}
