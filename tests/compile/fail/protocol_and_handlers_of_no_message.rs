#[derive(serde::Deserialize)]
struct Alarm;
wsx::protocol! { Fleet v1 { Edge -> Server: Alarm; } }
#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;
#[wsx::handler(on = Station)]
fn on_alarm(_: Alarm) {}
#[wsx::handler(on = Station)]
fn on_alarm_again(_: wsx::Envelope<Alarm>, _: wsx::Meta<'_>) {}
#[wsx::handler("alarm", on = Station)]
fn on_alarm_by_name(_: Alarm) {}
fn main() {}
