#[derive(serde::Deserialize, wsx::Message)]
struct Telemetry<'a> {
    #[serde(borrow)]
    devices: Vec<Option<&'a str>>,
}

fn main() {}
