struct Device;

#[derive(wsx::Message)]
#[wsx(delivery = latest, key = device)]
struct Meter {
    device: Device,
}

fn main() {}
