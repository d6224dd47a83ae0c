use wsx_tests::fleet::Health;

wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Health;
        Edge -> Server: Health;
    }
}

fn main() {}
