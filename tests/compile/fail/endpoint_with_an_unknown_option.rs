#[derive(wsx::Endpoint)]
#[wsx(sides = Server)]
struct Station;

fn main() {}
