struct Reading(f64);

fn send(hub: &wsx::Hub) {
    drop(hub.send_to("box-7", &Reading(21.5)));
}

fn main() {}
