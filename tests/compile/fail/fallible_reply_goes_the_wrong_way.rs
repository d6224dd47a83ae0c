use wsx_tests::fleet::{Health, Server};

#[derive(wsx::Endpoint)]
#[wsx(side = Server, partial)]
struct Station;

#[wsx::handler("health", on = Station)]
async fn on_health(msg: Health) -> Result<Option<Health>, std::io::Error> {
    Ok(Some(msg))
}

fn main() {}
