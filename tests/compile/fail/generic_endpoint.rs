#[derive(wsx::Endpoint)]
struct Station<T> {
    db: T,
}

fn main() {}
