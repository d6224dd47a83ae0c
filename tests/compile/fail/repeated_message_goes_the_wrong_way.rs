use wsx_tests::fleet::{Cmd, Edge};

#[derive(wsx::Endpoint)]
#[wsx(side = Edge, partial)]
struct EdgeBox;

async fn send(client: wsx::Client<EdgeBox>) {
    let _ = client.send_every(std::time::Duration::MAX, || Cmd { reboot: true }).await;
}

fn main() {}
