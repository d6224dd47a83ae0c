#[derive(wsx::Message)]
#[wsx(delivery = at_least_once, full = drop_newest)]
struct Meter(u32);

fn main() {}
