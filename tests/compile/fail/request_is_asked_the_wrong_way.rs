#[path = "../requests.rs"]
mod requests;
use requests::*;

fn ask<M: wsx::envelope::AskedBy<Unit, Base>>(_: &M) {}

fn send() {
    ask(&Reboot(1));
}

fn main() {}
