use wsx::{Closed, Connection};
use wsx_tests::fleet::Server;

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler("__closed__", on = Station)]
fn on_close(_station: &Station, _conn: &Connection, _closed: Closed) {}

fn main() {}
