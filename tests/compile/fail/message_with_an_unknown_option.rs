#[derive(wsx::Message)]
#[wsx(name = "reading")]
struct Reading;

fn main() {}
