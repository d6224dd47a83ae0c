use wsx_tests::fleet::Health;

wsx::protocol! {
    Fleet v1 { Server -> Server: Health; }
}

fn main() {}
