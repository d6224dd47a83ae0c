//! Writes to the connection of a peer what may be sent on it now. It does not know the store.
use crate::{
    connection::handle::Handle,
    delivery::{
        Gap, Time, Why,
        deliveries::{
            events::Event,
            expiry::expire,
            state::{Peer, Size},
        },
        sending::Step,
        wire::{Announcement, numbered},
    },
    wire::{header::Opcode, write},
};
use bytes::Bytes;
use std::convert::Infallible;

/// Writes to the connection of a peer, until nothing may be sent. Returns whether messages are to
/// be held: the caller gives that to the store, and calls again.
pub(super) fn pump(
    peer: &mut Peer,
    name: &str,
    epoch: &str,
    total: &mut Size,
    now: Time,
    events: &mut Vec<Event>,
) -> bool {
    let Some(conn) = peer.conn.clone() else { return false };
    loop {
        let frame = match peer.outgoing.next(now) {
            None => return false,
            Some(Step::Expire) => {
                expire(peer, name, total, now, events);
                continue;
            }
            Some(Step::Hold) => {
                events.push(Event::Withheld(conn, peer.outgoing.hold()));
                return true;
            }
            Some(Step::Begin { first, last }) => {
                let begin = Announcement { first: Some(first), last: Some(last), ..Announcement::new(epoch) };
                text_frame(&conn, false, |buffer| buffer.extend_from_slice(begin.text().as_bytes()))
            }
            Some(Step::Skip { from, to, why }) => {
                if why != Why::Void {
                    let gap = Gap { from, to, why, is_ours: true };
                    events.push(Event::Gap(conn.clone(), gap));
                }
                let skip = Announcement { skip: Some((from, to)), why: Some(why), ..Announcement::new(epoch) };
                text_frame(&conn, false, |buffer| buffer.extend_from_slice(skip.text().as_bytes()))
            }
            Some(Step::Message { number, message }) => {
                let may_shrink = message.kept.policy.compress.is_allowed();
                text_frame(&conn, may_shrink, |buffer| numbered(&message.kept, number, buffer))
            }
        };
        if conn.queue().push_delivery(frame).is_err() {
            // It closes. What was sent before may still be acknowledged.
            peer.outgoing.stop();
            return false;
        }
    }
}

/// Returns a frame with the text that `write` appends.
fn text_frame(conn: &Handle, may_shrink: bool, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let encoded = write::encode(Opcode::TEXT, conn.role(), "", |buffer| {
        write(buffer);
        Ok::<_, Infallible>(())
    });
    match encoded {
        Ok(mut frame) => {
            frame.may_shrink = may_shrink;
            conn.mark(&mut frame);
            frame.into_bytes()
        }
        Err(never) => match never {},
    }
}
