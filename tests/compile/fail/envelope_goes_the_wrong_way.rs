use wsx::Envelope;
use wsx_tests::fleet::{Health, Open};

fn send(hub: &wsx::Hub<Open>) {
    drop(hub.broadcast(&Envelope::from(Health { ok: true })));
}

fn main() {}
