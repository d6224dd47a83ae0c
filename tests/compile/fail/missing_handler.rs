use wsx_tests::fleet::{Server, Telemetry};

#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;

#[wsx::handler("telemetry", on = Station)]
fn on_telemetry(_msg: Telemetry<'_>) {}

fn main() {}
