#[path = "../requests.rs"]
mod requests;
use requests::*;

fn send(hub: &wsx::Hub<Station>) {
    drop(hub.send_to("box-7", &wsx::Envelope::from(ReadLog("a".into()))));
}

fn main() {}
