#[path = "../requests.rs"]
mod requests;
use requests::*;

fn send(hub: &wsx::Hub<Station>) {
    drop(hub.broadcast(&Reboot(1)));
}

fn main() {}
