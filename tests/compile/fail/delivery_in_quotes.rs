#[derive(wsx::Message)]
#[wsx(delivery = "latest")]
struct Meter(u32);

fn main() {}
