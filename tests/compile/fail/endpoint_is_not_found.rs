#[wsx::handler("health", on = Station)]
fn on_health(_ok: bool) {}

fn main() {}
