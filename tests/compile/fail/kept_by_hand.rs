#[derive(wsx::Message)]
struct Telemetry(u32);

impl wsx::message::Kept for Telemetry {}

fn main() {}
