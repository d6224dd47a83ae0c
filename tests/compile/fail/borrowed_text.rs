#[derive(serde::Deserialize, wsx::Message)]
struct Telemetry<'a> {
    device: &'a str,
    celsius: f64,
}

fn main() {}
