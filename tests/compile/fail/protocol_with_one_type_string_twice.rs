#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Health;
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
#[wsx(type = "health")]
struct Status;

wsx::protocol! {
    Fleet v1 {
        Edge -> Server: Health, Status;
    }
}

fn main() {}
