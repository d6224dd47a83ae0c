use wsx_tests::fleet::{Health, Server};

fn send(conn: wsx::Connection<Server>) {
    drop(conn.send(&Health { ok: true }));
}

fn main() {}
