//! A program whose `Cargo.toml` gives wsx another name: each macro gets `crate = sockets`.
use serde::{Deserialize, Serialize};

/// The health of a box.
#[derive(Debug, Serialize, Deserialize, sockets::Message)]
#[wsx(crate = sockets)]
pub struct Health {
    /// Whether the box works.
    pub ok: bool,
}

sockets::protocol! {
    #[wsx(crate = sockets)]
    pub Fleet v1 {
        Edge <-> Server: Health;
    }
}

/// A command to a box.
#[derive(Debug, Serialize, Deserialize, sockets::Message)]
#[wsx(crate = sockets)]
pub struct Cmd {
    /// Whether the box has to restart.
    pub reboot: bool,
}

sockets::protocol! {
    #[wsx(crate = sockets)]
    pub Commands v1 {
        Desk -> Machine: Cmd -> Health;
    }
}

/// The machine's end.
#[derive(Debug, sockets::Endpoint)]
#[wsx(side = Machine, crate = sockets)]
pub struct Engine;

#[sockets::handler(on = Engine, crate = sockets)]
fn on_cmd(cmd: Cmd) -> Health {
    Health { ok: !cmd.reboot }
}

/// The server's end.
#[derive(Debug, sockets::Endpoint)]
#[wsx(side = Server, crate = sockets)]
pub struct Station;

#[sockets::handler(on = Station, crate = sockets)]
fn on_health(health: Health) -> Health {
    health
}

#[sockets::handler("loose", crate = sockets)]
async fn on_loose(_n: u8) {}

#[test]
fn handlers_are_found_under_another_name() {
    assert_eq!(sockets::Hub::builder().endpoint(Station).build().unwrap().handled_types(), ["health"]);
    assert_eq!(sockets::Hub::builder().endpoint(Engine).build().unwrap().handled_types(), ["cmd"]);
    assert_eq!(sockets::Hub::new().handled_types(), ["loose"]);
}
