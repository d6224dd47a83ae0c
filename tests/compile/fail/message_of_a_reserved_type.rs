#[derive(wsx::Message)]
#[wsx(type = "__raw__")]
struct Reading;

fn main() {}
