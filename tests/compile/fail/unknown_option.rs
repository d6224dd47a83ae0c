#[wsx::handler("health", side = Server)]
fn on_health(_ok: bool) {}

fn main() {}
