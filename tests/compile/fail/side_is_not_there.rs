#[derive(wsx::Endpoint)]
#[wsx(side = Saver)]
struct Station;

#[wsx::handler(on = Station)]
fn on_health(_msg: wsx_tests::fleet::Health) {}

fn main() {}
