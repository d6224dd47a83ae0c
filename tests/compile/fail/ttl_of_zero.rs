#[derive(wsx::Message)]
#[wsx(ttl = "0s")]
struct Meter(u32);

fn main() {}
