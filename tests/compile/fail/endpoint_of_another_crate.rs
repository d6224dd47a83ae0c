use wsx_tests::fleet::{Health, Open};

#[wsx::handler("health", on = Open)]
fn on_health(_msg: Health) {}

fn main() {}
