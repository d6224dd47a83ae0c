#[derive(wsx::Message)]
#[wsx(delivery = latest, key = device)]
enum Meter {
    Water { device: u32 },
}

fn main() {}
