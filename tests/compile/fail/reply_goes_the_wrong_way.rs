use wsx_tests::fleet::{Health, Server, Telemetry};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler("health", on = Station)]
fn on_health(_msg: Health) -> Telemetry<'static> {
    todo!()
}

fn main() {}
