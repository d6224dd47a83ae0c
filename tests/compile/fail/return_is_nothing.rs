#[wsx::handler("telemetry")]
fn on_telemetry(celsius: f64) -> f64 {
    celsius
}

fn main() {}
