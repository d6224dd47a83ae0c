struct Station;

impl Station {
    #[wsx::handler("health")]
    fn on_health(&self, _ok: bool) {}
}

fn main() {}
