//! The kept messages of a `TestPeer`: it handles those of the program at once, and numbers its own.
//! It does not know handlers.
use crate::{
    connection::handle::Handle,
    delivery::{
        deliveries::Deliveries,
        lane::Lane,
        wire::{Acknowledgement, Announcement, numbered},
    },
    envelope::{incoming::RawFrame, kept::KeptMessage, keys::Number, sorted::Sorted},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The two ends of delivery that a peer is.
#[derive(Debug)]
pub(super) struct Kept {
    /// Those of the program.
    deliveries: Deliveries,
    numbers: Mutex<Numbers>,
}

/// What a message of the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// A message for the test.
    Plain,
    /// The same, which the program keeps until it is acknowledged.
    Kept,
    /// An envelope about delivery, which is not for the test.
    Control,
}

#[derive(Debug)]
struct Numbers {
    /// The epoch of this peer. A store of the program does not know it from an earlier test.
    own_epoch: String,
    /// The epoch of the program, after its begin.
    epoch: String,
    /// The last numbers of the program that this peer has handled, by lane.
    handled: [u64; 2],
    /// The last numbers of this peer, by lane.
    sent: [u64; 2],
}

impl Kept {
    pub(super) fn new(deliveries: Deliveries) -> Self {
        let own_epoch = format!("{:016x}", rand::random::<u64>());
        let numbers = Numbers { own_epoch, epoch: String::new(), handled: [0, 0], sent: [0, 0] };
        Self { deliveries, numbers: Mutex::new(numbers) }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the delivery of what waits for this peer.
    pub(super) fn attach(&self, conn: &Handle) {
        self.deliveries.attach(conn);
    }

    /// Ends the delivery.
    pub(super) fn detach(&self, conn: &Handle) {
        self.deliveries.detach(conn);
    }

    /// Notes a message of the program.
    pub(super) fn note(&self, frame: &RawFrame<'_>) -> Noted {
        let mut numbers = self.numbers();
        match Sorted::of(frame) {
            Sorted::Numbered(number) => {
                numbers.handled[number.lane() as usize] = number.value();
                Noted::Kept
            }
            Sorted::Announcement(json) => {
                if let Ok(Announcement { epoch, skip, .. }) = serde_json::from_str(json) {
                    numbers.epoch = epoch.into_owned();
                    if let Some((_, to)) = skip {
                        numbers.handled[Lane::Seq as usize] = to;
                    }
                }
                Noted::Control
            }
            // It acknowledges what this peer has sent. To acknowledge it changes nothing.
            Sorted::Acknowledgement(_) => Noted::Control,
            _ => Noted::Plain,
        }
    }

    /// Acknowledges what the peer has handled.
    pub(super) fn acknowledge(&self, conn: &Handle) {
        let acknowledgement = {
            let Numbers { epoch, handled: [seq, latest], .. } = &*self.numbers();
            let acknowledgement =
                Acknowledgement { epoch: (&**epoch).into(), seq: *seq, latest: *latest, failed: Vec::new() };
            serde_json::to_string(&acknowledgement).expect("strings and numbers are JSON")
        };
        self.deliveries.acknowledged(conn, &acknowledgement);
    }

    /// Returns a kept message of this peer as it is sent, with its number.
    pub(super) fn number(&self, conn: &Handle, message: &KeptMessage) -> (RawFrame<'static>, Number) {
        let delivery = message.policy.delivery;
        let number = {
            let mut numbers = self.numbers();
            if numbers.sent == [0, 0] {
                let begin = serde_json::to_string(&Announcement::new(&numbers.own_epoch)).expect("a string is JSON");
                self.deliveries.announced(conn, &begin);
            }
            let last = &mut numbers.sent[Lane::of(delivery) as usize];
            *last += 1;
            *last
        };
        let mut text = Vec::new();
        numbered(message, number, &mut text);
        let text = String::from_utf8(text).expect("JSON is UTF-8");
        (RawFrame::Text(text.into()), Number::of(delivery, number))
    }
}
