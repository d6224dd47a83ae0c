#[wsx::handler("telemetry", concurrent = 0)]
async fn on_telemetry(_celsius: f64) {}

fn main() {}
