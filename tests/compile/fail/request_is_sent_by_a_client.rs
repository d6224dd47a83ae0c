#[path = "../requests.rs"]
mod requests;
use requests::*;

fn send(client: &wsx::Client<Device>) {
    drop(client.send(&Ping(1)));
}

fn main() {}
