#[derive(wsx::Endpoint)]
struct Station;

impl Station {
    #[wsx::handler("health", on = Station)]
    fn on_health(&self, _ok: bool) {}
}

fn main() {}
