use wsx_tests::fleet::*;

#[wsx::handler(on = Open, foreign, concurrent = 8)]
async fn on_health(_msg: Health, _meta: wsx::Meta<'_>) {}

fn main() {}
