use wsx_tests::fleet::Open;

#[derive(serde::Serialize)]
struct Restart {
    delay_s: u32,
}

fn restart(hub: &wsx::Hub<Open>) {
    drop(hub.broadcast(&Restart { delay_s: 5 }));
}

fn main() {}
