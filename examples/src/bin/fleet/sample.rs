//! Reads what the host is doing.
use fleet_protocol::{Health, Stamp, Telemetry};
use std::{borrow::Cow, num::NonZero, thread};
use sysinfo::{DiskRefreshKind, Disks, MINIMUM_CPU_UPDATE_INTERVAL, Networks, System};

/// The host of this program. Both methods block.
pub(crate) struct Host {
    system: System,
    disks: Disks,
    networks: Networks,
}

impl Host {
    pub(crate) fn new() -> Self {
        let mut system = System::new();
        // The load of a core is the difference between two readings.
        system.refresh_cpu_usage();
        thread::sleep(MINIMUM_CPU_UPDATE_INTERVAL);
        Self {
            system,
            disks: Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage()),
            networks: Networks::new_with_refreshed_list(),
        }
    }

    /// Takes a sample. The message borrows from the host.
    pub(crate) fn sample(&mut self, stamp: Stamp, per_second: NonZero<u8>) -> Telemetry<'_> {
        let Self { system, disks, networks } = self;
        system.refresh_cpu_usage();
        system.refresh_memory();
        disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        networks.refresh(true);
        let used = |disk: &sysinfo::Disk| {
            percent(disk.total_space().saturating_sub(disk.available_space()), disk.total_space())
        };
        let fullest = disks.iter().max_by_key(|disk| used(disk));
        Telemetry {
            stamp,
            per_second,
            // A cast from a float saturates.
            cores: system.cpus().iter().map(|core| core.cpu_usage() as u8).collect(),
            memory: percent(system.used_memory(), system.total_memory()),
            disk: fullest.map_or(Cow::Borrowed("none"), |disk| disk.mount_point().to_string_lossy()),
            disk_used: fullest.map_or(0, used),
            received: networks.values().map(sysinfo::NetworkData::total_received).sum(),
            sent: networks.values().map(sysinfo::NetworkData::total_transmitted).sum(),
            outbox: None,
        }
    }
}

/// Returns the health of the host. Blocks.
pub(crate) fn health() -> Health {
    Health { uptime_s: System::uptime(), load: System::load_average().one, server: None }
}

fn percent(part: u64, whole: u64) -> u8 {
    (part as f64 / whole as f64 * 100.0) as u8
}
