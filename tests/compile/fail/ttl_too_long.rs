#[derive(wsx::Message)]
#[wsx(ttl = "366d")]
struct Meter(u32);

fn main() {}
