use wsx_tests::fleet;

#[derive(wsx::Endpoint)]
#[wsx(side = fleet::Fleet)]
struct Station;

fn main() {}
