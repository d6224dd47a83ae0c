struct Db;

#[wsx::handler("telemetry")]
fn on_telemetry(_celsius: f64, _db: Db) {}

fn main() {}
