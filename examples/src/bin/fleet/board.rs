//! The state of each box, and the cells of the table that shows it.
use crate::count::Count;
use crate::screen::Shown;
use fleet_protocol::Telemetry;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Maximum number of boxes. Their names come from the network, so the map needs a bound. A box
/// takes up to 28 KiB, most of it for the charts of the page, and an open file, of which many
/// systems allow 1,024.
pub(crate) const MAX_BOXES: usize = 800;
/// Maximum number of cores in the table.
const MAX_CORES: usize = 16;

/// Title and width of each column.
const COLUMNS: [(&str, u16); 11] = [
    ("box", 8),
    ("state", 6),
    ("received", 8),
    ("lost", 4),
    ("replies", 7),
    ("rate", 4),
    ("memory", 6),
    ("each core", 16),
    ("fullest disk", 12),
    ("net in", 9),
    ("net out", 9),
];

/// The boxes by name.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<String, Row>>);

#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) online: bool,
    /// Since when the box is online, or away. It is `None` before its first connection has begun.
    pub(crate) since: Option<SystemTime>,
    /// Why it is away.
    pub(crate) reason: Option<String>,
    pub(crate) labels: Vec<String>,
    /// Round trip of the newest ping of this connection.
    pub(crate) latency: Option<Duration>,
    pub(crate) count: Count,
    /// The newest telemetry.
    pub(crate) reading: Option<Reading>,
    /// The cells of the newest telemetry.
    newest: [String; 6],
}

/// The part of a telemetry that the page shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// When it arrived.
    pub(crate) at: Instant,
    pub(crate) per_second: NonZero<u8>,
    /// Mean load of the cores, in percent.
    pub(crate) cpu: u8,
    pub(crate) memory: u8,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) version: Option<u32>,
    pub(crate) outbox: Option<u32>,
}

impl Reading {
    fn of(telemetry: &Telemetry<'_>, version: Option<u32>) -> Self {
        let &Telemetry { per_second, memory, received, sent, outbox, .. } = telemetry;
        let sum: usize = telemetry.cores.iter().map(|core| usize::from(*core)).sum();
        let cpu = sum.checked_div(telemetry.cores.len()).and_then(|mean| u8::try_from(mean).ok()).unwrap_or_default();
        Self { at: Instant::now(), per_second, cpu, memory, received, sent, version, outbox }
    }
}

impl Row {
    /// Shows the telemetry of a box, and the version of the protocol that the box has named.
    pub(crate) fn show(&mut self, telemetry: &Telemetry<'_>, version: Option<u32>) {
        self.reading = Some(Reading::of(telemetry, version));
        let Telemetry { per_second, cores, memory, disk, disk_used, received, sent, .. } = telemetry;
        // Escaped, because a control character of the peer could change the terminal.
        let disk: String = disk.escape_debug().take(7).collect();
        self.newest = [
            format!("{per_second}/s"),
            format!("{memory}%"),
            cores.iter().take(MAX_CORES).copied().map(bar).collect(),
            format!("{disk} {disk_used}%"),
            bytes(*received),
            bytes(*sent),
        ];
    }
}

impl Board {
    /// Makes room for this box, and returns whether there is any. A new box gets its row at once,
    /// so that boxes that come at the same time cannot share the last one.
    pub(crate) fn admit(&self, id: &str) -> bool {
        let mut rows = self.lock();
        let is_admitted = rows.contains_key(id) || rows.len() < MAX_BOXES;
        if is_admitted {
            rows.entry(id.to_owned()).or_default();
        }
        is_admitted
    }

    /// Changes the row of a box. A new box gets one.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Row)) {
        change(self.lock().entry(id.to_owned()).or_default());
    }

    /// Looks at each box, in the order of their names.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&str, &Row)) {
        self.lock().iter().for_each(|(id, row)| look(id, row));
    }

    /// Whether the server has seen this box.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Returns the sum over all boxes.
    pub(crate) fn total(&self) -> Count {
        let mut total = Count::default();
        for Row { count, .. } in self.lock().values() {
            total.received += count.received;
            total.lost = total.lost.saturating_add(count.lost);
            total.disordered += count.disordered;
            total.reconnected += count.reconnected;
            total.asked += count.asked;
            total.answered += count.answered;
        }
        total
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown for Board {
    fn columns(&self) -> &[(&'static str, u16)] {
        &COLUMNS
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let cells = |(id, Row { online, count, newest, .. }): (&String, &Row)| {
            let state = if *online { "online" } else { "away" };
            let replies = format!("{}/{}", count.answered, count.asked);
            let counts = [count.received.to_string(), count.lost.to_string(), replies];
            [id.clone(), state.to_owned()].into_iter().chain(counts).chain(newest.clone()).collect()
        };
        self.lock().iter().map(cells).collect()
    }
}

/// Returns a block whose height shows the load.
fn bar(percent: u8) -> char {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    BARS[(usize::from(percent) * BARS.len() / 100).min(BARS.len() - 1)]
}

fn bytes(count: u64) -> String {
    let gib = count as f64 / f64::from(1 << 30);
    if gib < 1.0 { format!("{:.1} MiB", gib * 1024.0) } else { format!("{gib:.1} GiB") }
}
