use wsx_tests::fleet::{Cmd, Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler(on = Station)]
fn on_health(_msg: Health, conn: &wsx::Connection<Server>) {
    tokio::spawn(async move { conn.send(&Cmd { reboot: true }).await });
}

fn main() {}
