struct Health;

impl wsx::Message for Health {
    const TYPE: &'static str = "health";
    const FINGERPRINT: u64 = 0;
}

fn main() {}
