use wsx::message::Kept;

#[derive(wsx::Message)]
#[wsx(ttl = "1h")]
struct Telemetry(u32);

fn keep<M: Kept>(_message: M) {}

fn main() {
    keep(Telemetry(1));
}
