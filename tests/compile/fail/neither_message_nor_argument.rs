struct Health;

#[wsx::handler]
fn on_health(_msg: Health) {}

fn main() {}
