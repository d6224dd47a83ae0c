//! The newest of each box: what the table shows.
use fleet_protocol::Telemetry;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A station watches so many boxes at most. Their names come from outside, so there has to be an end.
pub(crate) const MOST: usize = 100;

/// A row for each box that has ever been admitted, by its name.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<String, Row>>);

/// What is known of a box.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    /// Connections that are open: for a moment two, when a box comes back before its old link is known to be dead.
    pub(crate) open: u32,
    pub(crate) newest: Option<Reading>,
}

/// A box's newest telemetry, as far as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) session: u32,
    pub(crate) number: u64,
    pub(crate) per_second: u32,
    /// In percent.
    pub(crate) cores: Vec<f32>,
    /// Used and total, in bytes.
    pub(crate) memory: (u64, u64),
    /// The disk with the least room in proportion: where it is mounted, and how full it is in percent.
    pub(crate) fullest: Option<(String, u64)>,
    /// Over all interfaces, in bytes.
    pub(crate) received: u64,
    /// Over all interfaces, in bytes.
    pub(crate) sent: u64,
}

impl Board {
    /// Whether there is, or can be, a row for this box.
    pub(crate) fn admit(&self, id: &str) -> bool {
        let mut rows = self.lock();
        if rows.len() >= MOST && !rows.contains_key(id) {
            return false;
        }
        rows.entry(id.to_owned()).or_default();
        true
    }

    /// A connection of this box is open.
    pub(crate) fn opened(&self, id: &str) {
        if let Some(row) = self.lock().get_mut(id) {
            row.open += 1;
        }
    }

    /// A connection of this box has ended.
    pub(crate) fn closed(&self, id: &str) {
        if let Some(row) = self.lock().get_mut(id) {
            row.open = row.open.saturating_sub(1);
        }
    }

    /// This box has sent telemetry.
    pub(crate) fn update(&self, id: &str, telemetry: Telemetry<'_>) {
        let reading = Reading::from(telemetry);
        if let Some(row) = self.lock().get_mut(id) {
            row.newest = Some(reading);
        }
    }

    /// All rows, in the order of the names.
    pub(crate) fn rows(&self) -> Vec<(String, Row)> {
        self.lock().iter().map(|(id, row)| (id.clone(), row.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Telemetry<'_>> for Reading {
    fn from(Telemetry { stamp, per_second, sample }: Telemetry<'_>) -> Self {
        let used = |free: u64, total: u64| total.saturating_sub(free).saturating_mul(100).checked_div(total);
        let fullest = sample
            .disks
            .iter()
            .filter_map(|disk| Some((&disk.mount, used(disk.free, disk.total)?)))
            .max_by_key(|(_, percent)| *percent);
        Self {
            session: stamp.session,
            number: stamp.number,
            per_second,
            cores: sample.cores,
            memory: (sample.memory_used, sample.memory_total),
            fullest: fullest.map(|(mount, percent)| (mount.clone().into_owned(), percent)),
            received: sample.networks.iter().fold(0, |sum, network| sum.saturating_add(network.received)),
            sent: sample.networks.iter().fold(0, |sum, network| sum.saturating_add(network.sent)),
        }
    }
}
