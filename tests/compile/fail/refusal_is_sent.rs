#[path = "../requests.rs"]
mod requests;
use requests::*;

fn send(conn: &wsx::Connection<Unit, Base>) {
    drop(conn.send(&UpdateRefused("no".into())));
}

fn main() {}
