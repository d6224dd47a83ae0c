#[derive(serde::Deserialize, wsx::Message)]
struct Reboot {
    delay_s: u32,
}

#[wsx::handler]
fn on_reboot(reboot: Reboot) {
    println!("{}", reboot.delay_s);
}

fn main() {}
