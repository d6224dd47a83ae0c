#[wsx::handler("frame")]
async fn on_frame(_meta: wsx::Meta, _n: u32) {}

fn main() {}
