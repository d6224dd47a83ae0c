#[derive(wsx::Message)]
#[wsx(ttl = "1h", delivery = state)]
struct Mode(u32);

fn main() {}
