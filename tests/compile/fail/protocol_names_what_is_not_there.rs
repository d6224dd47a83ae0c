use wsx_tests::fleet::Health;

wsx::protocol! {
    Meter v1 {
        Edge <-> Server: Health, Temperature<'_>;
    }
}

fn main() {}
