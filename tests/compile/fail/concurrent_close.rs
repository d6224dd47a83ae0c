#[wsx::handler("__close__", concurrent = 8)]
async fn on_close() {}

fn main() {}
