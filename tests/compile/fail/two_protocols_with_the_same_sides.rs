use wsx_tests::fleet::{Cmd, Health};

wsx::protocol! {
    Meter v1 { Edge -> Server: Health; Server -> Edge: Cmd; }
}
wsx::protocol! {
    Gauge v1 { Edge -> Server: Health, Cmd; }
}

fn main() {}
