use wsx_tests::fleet::Health;

wsx::protocol! {
    Meter v1 {
        Edge -> : Health;
    }
}

fn main() {}
