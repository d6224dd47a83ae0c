#[wsx::handler("health")]
fn on_health(_ok: bool, _why: wsx::Closed) {}

fn main() {}
