use std::cell::RefCell;
use wsx_tests::fleet::{Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station(RefCell<u32>);

#[wsx::handler(on = Station)]
async fn on_health(_station: &Station, _msg: Health) {}

fn main() {}
