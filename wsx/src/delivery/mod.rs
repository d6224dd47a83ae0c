//! Delivery: keeps messages until their peer has handled them.
//!
//! A type declares its delivery, with `#[wsx(delivery = ..)]`. `send` does what the type declares:
//!
//! | delivery | what is kept |
//! |---|---|
//! | `at_most_once`, the default | nothing: without a connection, the send returns an error |
//! | `at_least_once` | every message, in order, until the peer has handled it |
//! | `latest` | the newest message of each key |
//! | `state` | the newest message of each peer, also after the peer has handled it |
//!
//! A client keeps them in its [`Outbox`], and a hub in its [`Mailbox`], by the id of the peer. Both
//! are in memory, and with a [`Store`] they survive the end of the program.
//!
//! # Three moments
//!
//! | moment | a program awaits it with | what the message survives then |
//! |---|---|---|
//! | accepted | `send`, or [`Delivering::accepted`] | lost connections; with a store also the end of the program and a power cut |
//! | sent | [`Delivering::sent`] | the same: the bytes may still be lost, and are then sent again |
//! | handled | `deliver`, which returns [`Delivering`] | everything: the handler of the peer has returned `Ok` |
//!
//! In memory, accepting costs about a microsecond. With a store it costs a sync of the disk, which
//! messages of the same moment share. "Handled" costs a round trip, and up to 100 ms, because
//! acknowledgements are collected.
//!
//! # Duplicates
//!
//! The receiver suppresses duplicates as far as it remembers the numbers. Without a store it
//! remembers them until its program ends. With a store, one message can be handled twice: if the
//! program is killed after its handler and before its store has the number. A handler that must
//! exclude that, such as one that bills, takes [`Delivered`](crate::Delivered) and stores its
//! number together with its own effect.
//!
//! # Time
//!
//! While the program runs, its monotonic clock decides when a `ttl` is over. Over a restart, the
//! wall clock decides, if it was after 2020 both times and did not go back. Otherwise the downtime
//! does not count. A message that had not expired before the restart gets a tenth of its `ttl`, at
//! most 60 s, to be sent. So a wall clock that jumps by a day does not expire everything.
//!
//! The monotonic clock of Linux stands still while the machine is suspended, and so do the `ttl`s.
//!
//! # Gaps
//!
//! A message that is never sent leaves a gap, which the observers at both ends receive when they
//! are connected; see [`Observer::delivery_gap`](crate::Observer::delivery_gap). The observer of
//! the sender also receives `delivery_expired` or `delivery_dropped` when the message leaves.
//!
//! # Other versions
//!
//! With [`contract`](crate::server::HubBuilder::contract), a hub or a client knows which messages
//! its peer understands. A kept message is never rejected because of the version of the peer. It is
//! **held**: it stays in the outbox or the mailbox, and the other messages are sent. This is so at
//! both ends, because a box may be updated before or after its server.
//!
//! - The send succeeds. [`Hub::send_to`](crate::Hub::send_to) returns [`Accepted::Kept`], and
//!   `deliver` goes on to wait.
//! - The observer receives [`message_withheld`](crate::Observer::message_withheld) once, when the
//!   turn of the message comes.
//! - When a peer connects that understands it, the message gets a new number at the end of its
//!   lane. Held messages keep their order. Later messages of the same type stay behind them.
//! - A held message counts for the bounds, expires with its `ttl`, and may be dropped. Of `latest`
//!   and `state`, a newer value replaces the held one. [`Hub::waiting`](crate::Hub::waiting) shows
//!   held messages last.
//! - If a held message of `at_least_once` expires or is dropped, the peer learns of a gap, also a
//!   peer that would not have understood the message.
//!
//! With a store, a held message survives the end of the program. Later messages of its lane wait
//! until the store has it as held, which is one commit. So a store that fails delays them.
//!
//! A store may have messages of an earlier version of this program. Each record names the version
//! that wrote it, and that version decides who understands the message. A message of a version
//! that the lock file does not have is sent to every peer.
//!
//! If an older copy of the store is put back, a message that was not held in that copy may be lost:
//! the peer has handled later numbers.
pub(crate) mod clock;
pub(crate) mod deliveries;
mod delivering;
mod delivery_error;
mod failed;
mod incoming;
pub(crate) mod journal;
pub(crate) mod lane;
mod message;
#[cfg(test)]
#[cfg(not(wsx_model))]
mod model_tests;
mod options;
mod outgoing;
mod record;
mod sending;
mod shown;
mod size;
mod skips;
mod slot;
mod store;
mod window;
pub(crate) mod wire;

pub(crate) use crate::connection::keeper::{Moment, Outcome};
pub use crate::{
    connection::keeper::Accepted,
    error::{StoreError, StoreErrorKind},
    observer::{Gap, Resumed, Why},
};
pub(crate) use clock::Time;
pub use delivering::Delivering;
pub use delivery_error::DeliveryError;
pub use options::{Mailbox, Outbox};
pub use shown::{StateOf, Waiting};
#[cfg(feature = "outbox")]
pub use store::Disk;
pub use store::{Change, Store};
