#[wsx::handler("telemetry")]
fn on_telemetry(_celsius: f64, _volts: f32) {}

fn main() {}
