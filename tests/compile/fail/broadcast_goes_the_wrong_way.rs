use wsx_tests::fleet::{Health, Open};

fn send(hub: &wsx::Hub<Open>) {
    drop(hub.broadcast(&Health { ok: true }));
}

fn main() {}
