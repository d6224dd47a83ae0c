use wsx::message::{Kept, State};

// A type whose delivery is unknown passes where one is needed, so that the mistake is one error.
#[derive(wsx::Message)]
#[wsx(delivery = exactly_once, key = device, ttl = "1h", full = reject)]
struct Meter {
    device: u32,
}

fn keep<M: Kept + State>() {}

fn main() {
    keep::<Meter>();
}
