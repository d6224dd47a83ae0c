use wsx_tests::fleet::{Cmd, Health};

wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Health
        Server -> Edge: Cmd;
    }
}

fn main() {}
