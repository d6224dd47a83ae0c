#[derive(wsx::Endpoint)]
struct Station;

#[wsx::handler("telemetry", on = Station)]
fn on_telemetry(_celsius: f64, wsx::State(_): wsx::State<String>) {}

fn main() {}
