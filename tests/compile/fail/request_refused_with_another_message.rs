#[path = "../requests.rs"]
mod requests;
use requests::*;

#[wsx::handler(on = Device)]
fn on_update(_msg: Update) -> Result<Updated, Notice> {
    todo!()
}

fn main() {}
