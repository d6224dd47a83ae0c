use wsx_tests::fleet::{Edge as Truck, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, peer = Truck)]
struct Station;

fn main() {}
