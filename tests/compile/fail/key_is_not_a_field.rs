#[derive(wsx::Message)]
#[wsx(delivery = latest, key = devcie)]
struct Meter {
    device: u32,
}

fn main() {}
