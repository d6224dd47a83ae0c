use wsx_tests::fleet::{Health, Open};

fn send(hub: &wsx::Hub<Open>) {
    drop(hub.send_to("box-7", &Health { ok: true }));
}

fn main() {}
