//! What the observer learns of kept messages.
use crate::{
    connection::{Connection, handle::Handle},
    delivery::{Gap, Resumed, deliveries::Shared, failed::Failed},
};
use std::sync::Arc;

/// What the observer learns, after the lock is released.
pub(super) enum Event {
    Gap(Handle, Gap),
    Resumed(Handle, Resumed),
    Expired(Arc<str>, Vec<Box<str>>),
    Dropped(Arc<str>, Vec<Box<str>>),
    Failed(Handle, Failed, Box<str>),
    Withheld(Handle, Vec<Box<str>>),
}

impl Shared {
    /// Reports to the observer, without the lock.
    pub(super) fn report(&self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Gap(conn, gap) => self.observer.delivery_gap(Connection::of(&conn), &gap),
                Event::Resumed(conn, resumed) => self.observer.delivery_resumed(Connection::of(&conn), &resumed),
                Event::Expired(peer, types) => {
                    types.iter().for_each(|message_type| self.observer.delivery_expired(&peer, message_type));
                }
                Event::Dropped(peer, types) => {
                    types.iter().for_each(|message_type| self.observer.delivery_dropped(&peer, message_type));
                }
                Event::Failed(conn, failed, message_type) => {
                    let conn = Connection::of(&conn);
                    self.observer.delivery_failed(conn, &message_type, &failed.code, &failed.message);
                }
                Event::Withheld(conn, types) => {
                    types.iter().for_each(|message_type| drop(conn.withhold(message_type)));
                }
            }
        }
    }
}
