use wsx_tests::fleet::*;

#[wsx::handler(on = Open, foreign, concurrent = 8)]
async fn on_telemetry(_msg: Telemetry<'_>, _open: &Open) {}

fn main() {}
