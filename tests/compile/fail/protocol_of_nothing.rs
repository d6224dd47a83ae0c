wsx::protocol! {
    Fleet v1 {}
}

fn main() {}
