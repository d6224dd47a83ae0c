use wsx_tests::fleet::{Health, Server};

#[wsx::handler]
async fn on_health(_msg: Health, conn: &wsx::Connection<Server>) {
    conn.close();
}

fn main() {}
