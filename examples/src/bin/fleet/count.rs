//! Counts the messages and replies that arrived from one box, and those that did not.
use fleet_protocol::Stamp;

/// The messages of one box, over all its connections.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Count {
    /// Messages that arrived in order.
    pub(crate) received: u64,
    /// Messages that a connection accepted for sending, and that did not arrive.
    pub(crate) lost: u64,
    /// Messages that arrived twice, or after a later one.
    pub(crate) disordered: u64,
    /// Connections after the first of a run.
    pub(crate) reconnected: u64,
    /// Requests to the box while it stayed connected.
    pub(crate) asked: u64,
    /// Requests to which the box replied.
    pub(crate) answered: u64,
    /// The newest message.
    run: u64,
    session: u32,
    number: u64,
}

impl Count {
    /// Counts a message that a handler received. A gap before its number is a loss.
    pub(crate) fn receive(&mut self, Stamp { run, session, number }: Stamp) {
        if run != self.run {
            // Another server can have received the messages before this one.
            (self.run, self.session, self.number) = (run, 0, number.saturating_sub(1));
        }
        if session > self.session {
            self.session = session;
            self.reconnected += u64::from(session > 1);
        }
        if number > self.number {
            self.received += 1;
            // Saturates, because a peer can send any number.
            self.lost = self.lost.saturating_add(number - self.number - 1);
            self.number = number;
        } else {
            self.disordered += 1;
        }
    }

    /// Counts a request that has ended, with a reply or without one.
    pub(crate) fn ask(&mut self, answered: bool) {
        self.asked += 1;
        self.answered += u64::from(answered);
    }

    /// Compares with the box's own count of a run that this server has seen from its start to its
    /// end.
    pub(crate) fn settle(&mut self, accepted: u64) {
        self.lost = self.lost.max(accepted.saturating_sub(self.received));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_that_is_missing_is_lost() {
        // Messages as (run, session, number), the box's own count, and [received, lost, disordered,
        // reconnected].
        type Case = (&'static [(u64, u32, u64)], u64, [u64; 4]);
        let cases: [Case; 7] = [
            (&[(7, 1, 1), (7, 1, 2), (7, 2, 3)], 3, [3, 0, 0, 1]),
            (&[(7, 1, 1), (7, 1, 4)], 4, [2, 2, 0, 0]),
            (&[(7, 1, 1), (7, 2, 4), (7, 2, 5)], 7, [3, 4, 0, 1]),
            (&[(7, 2, 5)], 5, [1, 4, 0, 1]),
            (&[], 5, [0, 5, 0, 0]),
            (&[(7, 1, 1), (7, 1, 1), (7, 2, 3), (7, 1, 2)], 3, [2, 1, 2, 1]),
            // This server was started after the box, and then the box was started again.
            (&[(7, 3, 41), (8, 1, 1), (8, 1, 2)], 3, [3, 0, 0, 1]),
        ];
        for (messages, accepted, expected) in cases {
            let mut count = Count::default();
            messages.iter().for_each(|&(run, session, number)| count.receive(Stamp { run, session, number }));
            count.settle(accepted);
            assert_eq!([count.received, count.lost, count.disordered, count.reconnected], expected, "{messages:?}");
        }
    }
}
