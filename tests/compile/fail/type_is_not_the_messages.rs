#[derive(serde::Deserialize, wsx::Message)]
struct Telemetry {
    celsius: f64,
}

#[wsx::handler("telemetri")]
fn on_telemetry(msg: Telemetry) {
    println!("{}", msg.celsius);
}

fn main() {}
