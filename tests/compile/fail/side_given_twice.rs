use wsx_tests::fleet::Server;

#[derive(wsx::Endpoint)]
#[wsx(side = Server, side = Server)]
struct Station;

fn main() {}
