use wsx_tests::fleet::{Cmd, Edge};

#[derive(wsx::Endpoint)]
#[wsx(side = Edge, partial)]
struct EdgeBox;

fn send(client: &wsx::Client<EdgeBox>) {
    drop(client.send(&Cmd { reboot: true }));
}

fn main() {}
