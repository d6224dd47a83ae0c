#[wsx::handler("telemetry", concurrent)]
async fn on_telemetry(_celsius: f64) {}

fn main() {}
