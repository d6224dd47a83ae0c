use wsx_tests::fleet::{Health, Server};

struct Json<T>(T);

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler(on = Station)]
fn on_health(Json(_health): Json<Health>) {}

fn main() {}
