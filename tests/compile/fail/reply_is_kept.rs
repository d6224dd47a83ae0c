#[path = "../requests.rs"]
mod requests;
use requests::*;

#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
#[wsx(delivery = latest)]
struct Done;

wsx::protocol! { Meter v1 { Hand -> Clock: Reboot -> Done; Clock -> Hand: Done; } }

fn main() {}
