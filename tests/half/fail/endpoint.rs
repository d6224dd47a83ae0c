#[derive(wsx::Endpoint)]
#[wsx(partial)]
struct Station;

fn main() {}
