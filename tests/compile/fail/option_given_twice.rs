#[wsx::handler("health", foreign, foreign, on = wsx_tests::fleet::Open)]
fn on_health(_msg: wsx_tests::fleet::Health) {}

fn main() {}
