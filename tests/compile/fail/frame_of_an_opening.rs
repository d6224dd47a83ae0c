#[wsx::handler("__open__")]
fn on_open(_frame: wsx::RawFrame<'_>) {}

fn main() {}
