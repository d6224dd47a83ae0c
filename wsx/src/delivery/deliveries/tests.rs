use super::{Deliveries, End, state::absent::Absent};
use crate::{
    config::Config,
    connection::{handle::Handle, queue::Taken},
    envelope::keys::Number,
    observer::{GuardedObserver, Silent},
    wire::role::Role,
};
use std::time::Duration;
use tokio::time::sleep;

/// Row G15: a peer that begins again and again, and does not read the answers, does not fill the
/// memory. When it reads, it gets the last answer.
#[tokio::test(start_paused = true)]
async fn acknowledgements_wait_for_room() {
    let deliveries = Deliveries::in_memory(GuardedObserver::new(Silent));
    let config = Config::default().queue_messages(10).queue_bytes(10_000);
    let conn = Handle::new("box-7".into(), Role::Server, &config);
    deliveries.attach(&conn);
    for n in 0..1_000 {
        let epoch = if n == 999 { "last" } else { "e" };
        deliveries.announced(&conn, &format!(r#"{{"epoch":"{epoch}","first":1,"last":9}}"#));
    }
    let (_, queued) = conn.queue().report().unwrap();
    assert!((1..=21).contains(&queued), "{queued} answers are queued");
    assert!(!taken(&conn).contains("last"));
    sleep(Duration::from_secs(1)).await;
    assert!(taken(&conn).contains("last"));
}

/// Rows G7 and G15: too many absent peers are forgotten, and one that comes back counts no more.
#[tokio::test(start_paused = true)]
async fn absent_peers_are_forgotten_in_their_order() {
    let deliveries = Deliveries::in_memory(GuardedObserver::new(Silent));
    deliveries.0.lock().remembered = Absent::new(2);
    let mut resumed = Vec::new();
    for id in ["a", "b", "a", "c", "a", "b", "d", "a"] {
        let conn = Handle::new(id.into(), Role::Server, &Config::default());
        deliveries.attach(&conn);
        deliveries.announced(&conn, r#"{"epoch":"e","first":1,"last":1}"#);
        let answer = taken(&conn);
        resumed.push((id, u8::from(answer.contains(r#""seq":1"#))));
        if let Some(handling) = deliveries.start(&conn, Number::Seq(1)) {
            handling.end(&End::Handled("meter", "1"));
        }
        deliveries.detach(&conn);
    }
    // At the third `a`, `b` and `c` are absent. Then `a` has left after them.
    assert_eq!(resumed, [("a", 0), ("b", 0), ("a", 1), ("c", 0), ("a", 1), ("b", 1), ("d", 0), ("a", 1)]);
    assert_eq!(deliveries.0.lock().peers.len(), 3, "the next begin forgets one");
}

/// Returns everything that is queued, as the socket would take it.
fn taken(conn: &Handle) -> String {
    let mut bytes = Vec::new();
    loop {
        match conn.queue().take() {
            Taken::Nothing => return String::from_utf8_lossy(&bytes).into_owned(),
            Taken::One(frame) => bytes.extend_from_slice(&frame),
            Taken::Many(batch) => bytes.extend(batch),
            Taken::Flush(_) => {}
        }
    }
}
