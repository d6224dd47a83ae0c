#[path = "../requests.rs"]
mod requests;
use requests::*;

wsx::protocol! { Meter v1 { Hand -> Clock: Update -> Updated | UpdateRefused | Notice; } }

fn main() {}
