#[path = "../requests.rs"]
mod requests;
use requests::*;

wsx::protocol! {
    Meter v1 {
        Hand -> Clock: Ping -> Pong;
        Clock -> Hand: Ping;
    }
}

fn main() {}
