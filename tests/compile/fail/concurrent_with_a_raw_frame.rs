#[wsx::handler("__raw__", concurrent = 8)]
async fn on_raw(_frame: wsx::RawFrame<'_>) {}

fn main() {}
