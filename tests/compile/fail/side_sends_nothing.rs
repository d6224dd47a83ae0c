use wsx_tests::fleet::Health;

wsx::protocol! {
    Meter v1 { Edge -> Server: Health; }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

fn send(hub: &wsx::Hub<Station>) {
    drop(hub.broadcast(&Health { ok: true }));
}
fn main() {}
