use wsx_tests::fleet::Health;

wsx::protocol! {
    Fleet { Edge -> Server: Health; }
}

fn main() {}
