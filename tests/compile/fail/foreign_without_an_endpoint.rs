#[wsx::handler("health", foreign)]
fn on_health(_ok: bool) {}

fn main() {}
