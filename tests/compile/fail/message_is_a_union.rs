#[derive(wsx::Message)]
union Reading {
    celsius: f64,
    raw: u64,
}

fn main() {}
