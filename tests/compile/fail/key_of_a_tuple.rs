#[derive(wsx::Message)]
#[wsx(delivery = latest, key = device)]
struct Meter(u32);

fn main() {}
