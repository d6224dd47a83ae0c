#[derive(serde::Deserialize)]
struct Health;

wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Health;
    }
}

fn main() {}
