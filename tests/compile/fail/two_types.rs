#[wsx::handler("health", "status")]
fn on_health(_ok: bool) {}

fn main() {}
