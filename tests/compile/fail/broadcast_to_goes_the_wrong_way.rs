use wsx_tests::fleet::{Health, Open};

fn send(hub: &wsx::Hub<Open>) {
    drop(hub.broadcast_to("site-7", &Health { ok: true }));
}

fn main() {}
