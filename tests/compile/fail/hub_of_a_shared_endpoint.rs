use std::sync::Arc;

#[derive(wsx::Endpoint)]
struct Station;

fn main() {
    let station = Arc::new(Station);
    drop(wsx::Hub::builder().endpoint(station));
}
