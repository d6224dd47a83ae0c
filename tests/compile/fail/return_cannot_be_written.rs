#[derive(wsx::Message)]
struct Cmd;

#[wsx::handler("health")]
fn on_health(_ok: bool) -> Option<Cmd> {
    None
}

fn main() {}
