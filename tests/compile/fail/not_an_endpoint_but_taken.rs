struct Station;

#[wsx::handler("health", on = Station)]
fn on_health(_station: &Station, _ok: bool) {}

fn main() {}
