#[wsx::handler("health")]
fn on_health<T>(_ok: T) {}

fn main() {}
