use wsx_tests::fleet::{Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler(on = Station)]
async fn on_health(_msg: Health, conn: wsx::Connection) {
    conn.close();
}

fn main() {}
