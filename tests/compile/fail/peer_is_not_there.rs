use wsx_tests::fleet::Server;

#[derive(wsx::Endpoint)]
#[wsx(side = Server, peer = Ege)]
struct Station;

fn main() {}
