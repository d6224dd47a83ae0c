//! What the host is doing: a thread of its own for each box, since reading the system blocks.
use crate::failure::Failure;
use fleet_protocol::{Disk, Network, Sample};
use std::{
    thread,
    time::{Duration, Instant},
};
use sysinfo::{DiskRefreshKind, Disks, MINIMUM_CPU_UPDATE_INTERVAL, Networks, System};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

/// So many disks and interfaces at most: a host with many containers has hundreds, and the message has a bound.
const MOST: usize = 16;

/// Samples as often as `per_second` says, until nobody receives any more.
///
/// One sample waits at most. While the box cannot take it, those that follow are dropped: they would be old news.
pub(crate) fn start(id: &str, per_second: watch::Receiver<u32>) -> Result<mpsc::Receiver<Sample<'static>>, Failure> {
    let (sender, receiver) = mpsc::channel(1);
    let name = format!("{id} samples");
    let started = thread::Builder::new().name(name.clone()).spawn(move || run(&sender, &per_second));
    started.map_err(|source| Failure::Thread { name, source })?;
    Ok(receiver)
}

fn run(samples: &mpsc::Sender<Sample<'static>>, per_second: &watch::Receiver<u32>) {
    let mut host = Host::new();
    let mut next = Instant::now();
    while !matches!(samples.try_send(host.sample()), Err(TrySendError::Closed(_))) {
        // Never 0: the handler that sets it lets no such rate in.
        next += Duration::from_secs(1) / *per_second.borrow();
        // After a pause of the whole machine, samples that were missed are not made up for.
        next = next.max(Instant::now());
        thread::sleep(next.duration_since(Instant::now()));
    }
}

struct Host {
    system: System,
    disks: Disks,
    networks: Networks,
}

impl Host {
    fn new() -> Self {
        let mut system = System::new();
        // The load of a core is a difference between two looks. Where samples are taken faster than the system counts,
        // several of them show the same load.
        system.refresh_cpu_usage();
        thread::sleep(MINIMUM_CPU_UPDATE_INTERVAL);
        Self {
            system,
            disks: Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage()),
            networks: Networks::new_with_refreshed_list(),
        }
    }

    fn sample(&mut self) -> Sample<'static> {
        let Self { system, disks, networks } = self;
        system.refresh_cpu_usage();
        system.refresh_memory();
        disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        networks.refresh(true);
        Sample {
            // To a tenth of a percent: more digits are noise, and bytes on the wire.
            cores: system.cpus().iter().map(|core| (core.cpu_usage() * 10.0).round() / 10.0).collect(),
            memory_used: system.used_memory(),
            memory_total: system.total_memory(),
            disks: disks
                .iter()
                .take(MOST)
                .map(|disk| Disk {
                    mount: disk.mount_point().to_string_lossy().into_owned().into(),
                    free: disk.available_space(),
                    total: disk.total_space(),
                })
                .collect(),
            networks: networks
                .iter()
                .take(MOST)
                .map(|(interface, counters)| Network {
                    interface: interface.clone().into(),
                    received: counters.total_received(),
                    sent: counters.total_transmitted(),
                })
                .collect(),
        }
    }
}
