#[derive(wsx::Message)]
#[wsx(delivery = latest)]
#[wsx(delivery = state)]
struct Meter(u32);

fn main() {}
