use wsx_tests::fleet::{Health, Server};

fn send(conn: wsx::Conn<'_, Server>) {
    drop(conn.send(&Health { ok: true }));
}

fn main() {}
