//! Handlers of requests in every form that the protocol allows.
#[path = "../requests.rs"]
mod requests;
use requests::*;
use wsx::{BoxError, Connection, Endpoint, Envelope, Hub, SendError, envelope::AskedBy, handler};

/// Handles all messages that come from one of two peers.
#[derive(Endpoint)]
#[wsx(side = Unit, peer = Base)]
struct Complete;

#[handler(on = Complete)]
fn on_notice(_msg: Notice, conn: &Connection<Unit, Base>) -> Updated {
    // A reply that the protocol also names as a message is sent by itself.
    drop(conn.send(&Updated(1)));
    Updated(2)
}
#[handler(on = Complete)]
fn on_reboot(msg: Reboot) -> Rebooted {
    Rebooted(msg.0)
}
#[handler("read_log", on = Complete)]
async fn on_read_log(complete: &Complete, msg: ReadLog<'_>) -> Result<LogPage, SendError> {
    let _ = complete;
    Ok(LogPage(msg.0.into_owned()))
}
#[handler(on = Complete)]
async fn on_update(msg: Envelope<Update>) -> Result<Updated, UpdateRefused> {
    Ok(Updated(msg.data.0))
}
#[handler(on = Complete, concurrent = 1024)]
async fn on_ping(msg: Ping) -> Pong {
    Pong(msg.0)
}

/// Handles some of the messages of either peer.
#[handler(on = Device)]
fn on_any_update(_conn: Connection<Unit>, msg: Update) -> Result<Result<Updated, UpdateRefused>, BoxError> {
    Ok(Ok(Updated(msg.0)))
}
#[handler(on = Device)]
fn on_any_reboot(_msg: Reboot) -> Result<Rebooted, std::io::Error> {
    Ok(Rebooted(1))
}

/// Handles requests of the other side.
#[handler(on = Station)]
async fn on_other_ping(msg: Ping) -> Result<Pong, BoxError> {
    Ok(Pong(msg.0))
}
#[handler("updated", on = Station)]
fn on_updated(_station: &Station) {}

/// Without an endpoint, nothing is checked.
#[handler("reboot")]
fn on_reboot_without_a_protocol(_delay: u32) -> Option<Rebooted> {
    None
}

fn ask<S, To, M: AskedBy<S, To, Reply = Reply>, Reply>(_: &M) {}

fn main() {
    let handled = Hub::builder().endpoint(Complete).build().unwrap().handled_types();
    assert_eq!(handled, ["notice", "ping", "read_log", "reboot", "update"]);
    assert_eq!(Hub::builder().endpoint(Device).build().unwrap().handled_types(), ["reboot", "update"]);
    assert_eq!(Hub::builder().endpoint(Station).build().unwrap().handled_types(), ["ping", "updated"]);
    ask::<Base, Unit, _, Rebooted>(&Reboot(1));
    ask::<Base, Unit, _, LogPage>(&ReadLog("a".into()));
    ask::<Desk, Unit, _, Updated>(&Update(1));
    ask::<Unit, Base, _, Pong>(&Ping(1));
    ask::<Unit, wsx::protocol::AnyPeer, _, Pong>(&Ping(1));
}
