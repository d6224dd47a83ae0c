use wsx_tests::fleet::{Cmd, Health};

#[derive(wsx::Endpoint)]
#[wsx(side = Cmd)]
struct Station;

#[wsx::handler(on = Station)]
async fn on_health(_msg: Health) -> Cmd {
    todo!()
}

fn main() {}
