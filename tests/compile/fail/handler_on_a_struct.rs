#[wsx::handler("health")]
struct Health;

fn main() {}
