use wsx_tests::fleet::Server;

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler(on = Station)]
fn on_number(_celsius: f64) {}

fn main() {}
