#[wsx::handler("health")]
fn on_health(_ok: impl Into<bool>) {}

fn main() {}
