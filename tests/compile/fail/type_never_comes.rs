use wsx_tests::fleet::Server;

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler("temperature", on = Station)]
fn on_temperature(_celsius: f64) {}

fn main() {}
