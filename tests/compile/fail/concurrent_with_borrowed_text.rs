#[wsx::handler("telemetry", concurrent = 8)]
async fn on_telemetry(_text: &str, _conn: &wsx::Connection) {}

fn main() {}
