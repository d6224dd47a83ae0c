use wsx_tests::fleet::{Health, Server, Telemetry};

#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;

#[wsx::handler(on = Station)]
fn on_telemetry(_msg: Telemetry<'_>) {}

#[wsx::handler(on = Station, priority = 1)]
fn on_health(_msg: Health) {}

fn main() {}
