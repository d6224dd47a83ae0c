#[wsx::handler("__raw__")]
fn on_raw(_envelope: wsx::Envelope<String>) {}

fn main() {}
