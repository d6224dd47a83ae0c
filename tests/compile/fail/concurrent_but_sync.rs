#[wsx::handler("telemetry", concurrent = 8)]
fn on_telemetry(_celsius: f64) {}

fn main() {}
