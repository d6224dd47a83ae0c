#[derive(wsx::Message)]
#[wsx(delivery = latest, key = "device")]
struct Meter {
    device: u32,
}

fn main() {}
