#[path = "../requests.rs"]
mod requests;
use requests::*;

fn send(conn: &wsx::Connection<Base, Unit>) {
    drop(conn.send(&Reboot(1)));
}

fn main() {}
