use wsx_tests::fleet::{Cmd, Health};

wsx::protocol! {
    Meter v1 { Edge -> Server: Health; }
    Gauge v1 { Box -> Hub: Cmd; }
}

fn main() {}
