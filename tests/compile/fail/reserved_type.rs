#[wsx::handler("__start__")]
fn on_start() {}

fn main() {}
