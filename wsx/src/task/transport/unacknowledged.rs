//! What the peer's kernel has not acknowledged, and whether that shows a link that works. It does
//! not know the socket.

/// What the kernel knows about the bytes that it has taken from this program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unacknowledged {
    /// The number of bytes that the peer's kernel has not acknowledged.
    pub(crate) bytes: u32,
    /// Whether the kernel sends lost packets again.
    pub(crate) is_resending: bool,
    /// The number of packets that were received from the peer. It wraps around.
    pub(crate) packets: u32,
}

impl Unacknowledged {
    /// Notes what is known now. Returns whether it shows progress since the last note.
    pub(crate) fn note(known: &mut Option<Self>, now: Option<Self>) -> bool {
        let before = std::mem::replace(known, now);
        matches!((now, before), (Some(now), Some(before)) if now.is_progress_since(before))
    }

    /// Whether the link has worked since `before`, and the peer does not refuse bytes.
    ///
    /// That is so if the peer has acknowledged bytes. It is also so while the kernel sends lost
    /// packets again, if packets of the peer arrive. On a slow link the kernel may wait for more
    /// than 10 s before it does that, and acknowledged bytes have to wait for the lost ones. A peer
    /// that refuses bytes has none of them lost: its window is closed.
    fn is_progress_since(self, before: Self) -> bool {
        self.bytes < before.bytes || (self.is_resending && self.packets != before.packets)
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    /// Rows R1, V1: the kernel of a slow link waits for longer than the timeout.
    #[test]
    fn a_packet_of_the_peer_counts_only_while_lost_ones_are_sent_again() {
        let before = Unacknowledged { bytes: 9, is_resending: false, packets: 5 };
        let resending = Unacknowledged { is_resending: true, ..before };
        for (now, is_progress) in [
            (before, false),
            (Unacknowledged { bytes: 8, ..before }, true),
            (Unacknowledged { bytes: 10, ..before }, false),
            (Unacknowledged { packets: 6, ..before }, false),
            (resending, false),
            (Unacknowledged { packets: 6, ..resending }, true),
            (Unacknowledged { packets: 4, ..resending }, true),
            (Unacknowledged { packets: 6, bytes: 10, ..resending }, true),
        ] {
            assert_eq!(now.is_progress_since(before), is_progress, "{now:?}");
        }
    }
}
