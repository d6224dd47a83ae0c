#[derive(wsx::Message)]
#[wsx(delivery = at_least_once, key = device)]
struct Meter {
    device: u32,
}

fn main() {}
