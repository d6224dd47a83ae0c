//! A bound on packets and on bytes. It does not know what the packets are for.
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Packets and bytes that may wait at the same time.
#[derive(Debug)]
pub(super) struct Budget {
    packets: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    most: Most,
}

/// A bound. Whichever of the two is reached first holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) packets: u32,
    pub(super) bytes: u32,
}

/// The room of one packet. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _packet: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new(most: Most) -> Self {
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Self { packets: semaphore(most.packets), bytes: semaphore(most.bytes), most }
    }

    /// What a packet of this length takes. One that is longer than the bound takes everything.
    fn cost(&self, len: usize) -> u32 {
        u32::try_from(len).unwrap_or(u32::MAX).min(self.most.bytes)
    }

    /// Takes the room of a packet, if there is as much.
    pub(super) fn take(&self, len: usize) -> Option<Permit> {
        let packet = Arc::clone(&self.packets).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(self.cost(len)).ok()?;
        Some(Permit { _packet: packet, _bytes: bytes })
    }

    /// Waits for the room of a packet. `None`: the budget is closed.
    pub(super) async fn wait(&self, len: usize) -> Option<Permit> {
        let packet = Arc::clone(&self.packets).acquire_owned().await.ok()?;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(self.cost(len)).await.ok()?;
        Some(Permit { _packet: packet, _bytes: bytes })
    }

    /// Waits until all room was given back, or the budget is closed.
    pub(super) async fn unused(&self) {
        // Whether it is closed does not matter: then nothing is in use.
        let _ = self.packets.acquire_many(self.most.packets).await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.packets.is_closed()
    }

    /// Those who wait do not wait any longer, and there is no room any more.
    pub(super) fn close(&self) {
        self.packets.close();
        self.bytes.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row J11: packets and bytes are bounded.
    #[tokio::test]
    async fn packets_and_bytes_are_bounded() {
        let budget = Budget::new(Most { packets: 3, bytes: 100 });
        let first = budget.take(60).unwrap();
        assert!(budget.take(41).is_none());
        let second = budget.take(40).unwrap();
        let third = budget.take(0).unwrap();
        assert!(budget.take(0).is_none(), "three packets");
        drop((first, third));
        assert!(budget.take(61).is_none());
        drop(second);
        let long = budget.take(5_000).expect("one packet of any length");
        assert!(budget.take(1).is_none());
        drop(long);
        budget.unused().await;
    }

    #[tokio::test]
    async fn a_closed_budget_has_no_room_and_lets_nobody_wait() {
        let budget = Budget::new(Most { packets: 1, bytes: 100 });
        let held = budget.take(1).unwrap();
        let (waited, (), ()) = tokio::join!(budget.wait(1), budget.unused(), async { budget.close() });
        assert!(waited.is_none());
        drop(held);
        assert!(budget.take(1).is_none());
    }
}
