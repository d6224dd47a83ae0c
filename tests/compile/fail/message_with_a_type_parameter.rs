#[derive(wsx::Message)]
struct Reading<T> {
    value: T,
}

fn main() {}
