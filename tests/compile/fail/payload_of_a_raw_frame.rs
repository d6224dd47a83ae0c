#[wsx::handler("__raw__")]
fn on_raw(_frame: String) {}

fn main() {}
