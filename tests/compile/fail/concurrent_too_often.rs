#[wsx::handler("telemetry", concurrent = 1025)]
async fn on_telemetry(_celsius: f64) {}

fn main() {}
