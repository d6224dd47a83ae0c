#[derive(wsx::Message)]
#[wsx(ttl = 90)]
struct Meter(u32);

fn main() {}
