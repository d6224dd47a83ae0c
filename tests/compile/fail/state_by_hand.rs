#[derive(wsx::Message)]
#[wsx(delivery = latest)]
struct Mode(u32);

impl wsx::message::State for Mode {}

fn main() {}
