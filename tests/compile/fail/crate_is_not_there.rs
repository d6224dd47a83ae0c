#[derive(serde::Deserialize, wsx::Message)]
#[wsx(crate = sockets)]
struct Health {
    ok: bool,
}

fn main() {}
