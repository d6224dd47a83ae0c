use wsx_tests::fleet::Cmd;

#[wsx::handler("__close__")]
fn on_close(_why: wsx::Closed) -> Cmd {
    Cmd { reboot: true }
}

fn main() {}
