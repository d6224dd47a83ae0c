use wsx_tests::fleet::{Health, Server, Telemetry};

#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;

#[wsx::handler(on = Station)]
fn on_telemetry(_msg: Telemetry<'_>) {}

#[wsx::handler(on = Station)]
fn on_health<T>(_msg: Health) {}

fn main() {}
