use wsx_tests::fleet::Health;

wsx::protocol! {
    Meter v1.0 { Edge -> Server: Health; }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

fn main() {}
