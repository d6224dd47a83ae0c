//! How many calls of a handler run at a time is known to the hub.
use wsx::{
    Connection, Hub, State, Untyped,
    __private::{HandlerEntry, Registration, inventory},
    handler,
};
use wsx_tests::fleet::{Health, Open};

#[handler("slow", concurrent = 8)]
async fn on_slow(_wanted: String, _conn: &Connection, _hub: &Hub, _state: State<u8>) {}

#[handler(on = Open, foreign, concurrent = 3)]
async fn on_health(_msg: Health, _open: &Open, _hub: &Hub<Open>, _conn: &Connection<wsx_tests::fleet::Server>) {}

#[handler("serial")]
async fn on_serial(_text: &str) {}

fn calls<E: 'static>(message_type: &str) -> u16 {
    let entries = inventory::iter::<Registration>.into_iter().map(|registration| (registration.entry)());
    let mut entries = entries.filter_map(|entry| entry.downcast::<HandlerEntry<E>>().ok());
    entries.find(|entry| entry.message_type == message_type).unwrap().concurrent
}

fn main() {
    assert_eq!(calls::<Untyped>("slow"), 8);
    assert_eq!(calls::<Open>("health"), 3);
    assert_eq!(calls::<Untyped>("serial"), 1);
}
