use wsx_tests::fleet::Health;

wsx::protocol! {
    Meter v1 {
        #[cfg(test)]
        Edge -> Server: Health;
    }
}

fn main() {}
