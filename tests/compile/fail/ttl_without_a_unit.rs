#[derive(wsx::Message)]
#[wsx(delivery = at_least_once, ttl = "90")]
struct Meter(u32);

fn main() {}
