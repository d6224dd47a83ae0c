#[path = "../requests.rs"]
mod requests;
use requests::*;

fn ask<M: wsx::envelope::AskedBy<Unit, Base>>(_: &M) {}

fn send() {
    ask(&Reading(1.0));
}

fn main() {}
