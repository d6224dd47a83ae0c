#[path = "../requests.rs"]
mod requests;
use requests::*;

fn send(client: &wsx::Client<Device>) {
    drop(client.send(&Rebooted(1)));
}

fn main() {}
