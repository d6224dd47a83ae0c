#[wsx::handler("health")]
fn on_health(_ok: &mut bool) {}

fn main() {}
