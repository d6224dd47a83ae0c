//! A handler of a reserved type that names no endpoint, where all others name one: a problem that
//! building the hub returns.
#[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
struct Health {
    ok: bool,
}

#[derive(wsx::Endpoint)]
struct Station;

#[wsx::handler(on = Station)]
fn on_health(health: Health) {
    assert!(health.ok);
}

const LINE: u32 = line!() + 1;
#[wsx::handler("__open__")]
fn on_open(conn: &wsx::Connection) {
    println!("{}", conn.id());
}

fn main() {
    let error = wsx::Hub::builder().endpoint(Station).build().unwrap_err();
    let [problem] = error.problems() else { panic!("{error}") };
    assert!(problem.contains("::on_open ("), "{problem}");
    assert!(problem.contains(&format!("{}:{LINE})", file!())), "{problem}");
    assert!(problem.ends_with("write `#[wsx::handler(\"__open__\", on = Station)]`"), "{problem}");
}
