//! What the system says about this process and its disk.
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

/// Returns how many bytes this process has written to disks, in whole pages: `write_bytes` of
/// `/proc/self/io`.
pub(crate) fn bytes_written() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").expect("Linux counts what a process writes");
    let line = counters.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).expect("Linux counts what a process writes")
}

/// Returns how many syncs the disk makes in a second, each after a write of 4 KiB to a new place.
pub(crate) fn syncs(folder: &Path, duration: Duration) -> f64 {
    let path = folder.join("syncs");
    let mut file = File::create(&path).expect("the folder can be written");
    let (before, start, mut count) = (bytes_written(), Instant::now(), 0);
    while start.elapsed() < duration {
        file.write_all(&[0; 4096]).expect("there is room");
        file.sync_data().expect("the disk works");
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    assert!(bytes_written() > before, "{} is not on a disk", folder.display());
    fs::remove_file(path).expect("the file exists");
    rate
}
