use wsx_tests::fleet::{Fleet, Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler(on = Station)]
async fn on_health(_msg: Health, conn: &wsx::Connection<Fleet>) {
    conn.close();
}

fn main() {}
