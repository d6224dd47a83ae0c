//! A protocol whose requests, replies and refusals are messages of another crate.
use wsx_tests::fleet::{Cmd, Health, Telemetry};

wsx::protocol! {
    pub Meter v1 {
        Hand <-> Clock: Telemetry<'_> -> Health, Cmd -> Health;
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Clock)]
struct Dial;

#[wsx::handler(on = Dial)]
async fn on_telemetry(_msg: Telemetry<'_>) -> Health {
    Health { ok: true }
}

#[wsx::handler("cmd", on = Dial)]
fn on_cmd(msg: Cmd) -> Result<Health, wsx::BoxError> {
    Ok(Health { ok: msg.reboot })
}

fn main() {
    wsx::Hub::builder().endpoint(Dial).build().unwrap();
    assert_eq!(Meter::DESCRIPTION.messages.len(), 4);
}
