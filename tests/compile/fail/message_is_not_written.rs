#[derive(serde::Deserialize, wsx::Message)]
struct Health {
    ok: bool,
}

wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Health;
    }
}

fn main() {}
