#[derive(wsx::Message)]
#[wsx(delivery = latest, full = drop_oldest)]
struct Meter(u32);

fn main() {}
