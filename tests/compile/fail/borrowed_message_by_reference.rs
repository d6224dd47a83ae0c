use wsx_tests::fleet::Telemetry;

#[wsx::handler("telemetry")]
fn on_telemetry(_msg: &Telemetry) {}

fn main() {}
