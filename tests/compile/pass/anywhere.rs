//! Handlers inside function bodies and modules, behind `cfg`, with docs and other attributes, in
//! either order.
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Health {
    ok: bool,
}
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Status {
    text: String,
}

wsx::protocol! {
    Fleet v1 { Edge -> Server: Health, Status; }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;

fn inside() {
    /// Has docs, and is inside a function body.
    #[wsx::handler(on = Station)]
    #[inline]
    fn on_health(health: Health) {
        assert!(health.ok);
    }
}

mod of_its_own {
    use super::{Station, Status};

    #[cfg(any())]
    #[wsx::handler(on = Station)]
    fn never(_status: NoSuchType) {}

    #[wsx::handler(on = Station)]
    #[cfg(all())]
    pub(super) fn on_status(status: Status) {
        drop(status.text);
    }

    #[wsx::handler("loose")]
    #[cfg(any())]
    fn never_either(_n: NoSuchType) {}

    #[cfg_attr(all(), wsx::handler("perhaps"))]
    fn perhaps(_n: u8) {}
}

fn main() {
    inside();
    of_its_own::on_status(Status { text: String::new() });
    assert_eq!(wsx::Hub::builder().endpoint(Station).build().unwrap().handled_types(), ["health", "status"]);
    assert_eq!(wsx::Hub::new().handled_types(), ["perhaps"]);
}
