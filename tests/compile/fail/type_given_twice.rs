#[derive(wsx::Message)]
#[wsx(type = "reading", type = "sample")]
struct Reading;

fn main() {}
