//! Messages that are a request in one place of a protocol, and a reply or a refusal in another.
#[path = "../requests.rs"]
mod requests;
use requests::*;
use wsx::envelope::{AskedBy, SentBy};

mod same {
    use super::Ping;
    wsx::protocol! { pub Same v1 { Hand -> Clock: Ping -> Ping; } }
}
mod both {
    use super::Ping;
    wsx::protocol! { pub Both v1 { Hand <-> Clock: Ping -> Ping; } }
}
mod circle {
    use super::{Notice, Ping, Pong, Reboot, Rebooted};
    wsx::protocol! {
        pub Circle v1 {
            Hand -> Clock: Ping -> Pong | Rebooted, Reboot -> Rebooted | Pong;
            Clock -> Hand: Pong -> Ping, Rebooted;
            Spring -> Clock: Ping -> Pong | Rebooted, Notice -> crate::requests::Updated;
        }
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = same::Clock)]
struct Same;
#[wsx::handler(on = Same)]
fn on_ping(msg: Ping) -> Ping {
    msg
}

#[derive(wsx::Endpoint)]
#[wsx(side = circle::Clock)]
struct Circle;
#[wsx::handler(on = Circle)]
fn on_circle_ping(msg: Ping) -> Result<Pong, Rebooted> {
    Err(Rebooted(msg.0))
}
#[wsx::handler(on = Circle)]
fn on_circle_reboot(msg: Reboot) -> Result<Rebooted, Pong> {
    Err(Pong(msg.0))
}
#[wsx::handler(on = Circle)]
async fn on_circle_notice(msg: Notice, _hub: &wsx::Hub<Circle>) -> Updated {
    Updated(msg.0)
}

fn ask<S, To, M: AskedBy<S, To>>(_: &M) {}
fn send<S, To, M: SentBy<S, To>>(_: &M) {}

fn main() {
    ask::<same::Hand, same::Clock, _>(&Ping(1));
    ask::<both::Clock, both::Hand, _>(&Ping(1));
    ask::<circle::Clock, circle::Hand, _>(&Pong(1));
    // Both the refusal of a request and a message.
    send::<circle::Clock, circle::Hand, _>(&Rebooted(1));
    assert_eq!(wsx::Hub::builder().endpoint(Same).build().unwrap().handled_types(), ["ping"]);
    let handled = wsx::Hub::builder().endpoint(Circle).build().unwrap().handled_types();
    assert_eq!(handled, ["notice", "ping", "reboot"]);
}
