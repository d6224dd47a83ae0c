//! Requests to the operating system: cores, open files, and the CPU time and memory of another
//! process.
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        time::TimeValLike,
    },
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use std::{fs, io, ops::Add, time::Duration};

/// The core of the servers and the core of the load. On a machine with one core both share it, and
/// the figures are not reliable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) load: usize,
}

impl Cores {
    /// Returns the first two cores that this process may use.
    pub(crate) fn choose() -> nix::Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        let server = cores.next().unwrap_or(0);
        Ok(Self { server, load: cores.next().unwrap_or(server) })
    }
}

/// Pins the calling thread to a core. Its children inherit that, so a runtime that counts its cores
/// finds one.
pub(crate) fn pin(core: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Raises the limit of open files to its maximum, for this process and those that it starts, and
/// returns it.
pub(crate) fn raise_open_files() -> nix::Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

/// The CPU time that a process has used, all threads together, including those that have finished.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    /// From the process's own clock, which counts nanoseconds. `/proc/PID/stat` counts ticks of 10
    /// ms.
    pub(crate) total: Duration,
    /// Ticks in user mode and in the kernel, used only for their ratio.
    user: u64,
    system: u64,
}

impl CpuTime {
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (user, system) = ticks(&stat).ok_or_else(|| io::Error::other("/proc/PID/stat has another form"))?;
        Ok(Self { total: read(clock)?, user, system })
    }

    /// Returns the time since `earlier`, and the share of user mode if there were enough ticks.
    pub(crate) fn since(self, earlier: Self) -> (Duration, Option<f64>) {
        let (user, system) = (self.user - earlier.user, self.system - earlier.system);
        // Below ten ticks the ratio is random.
        let share = (user + system >= 10).then(|| user as f64 / (user + system) as f64);
        (self.total.saturating_sub(earlier.total), share)
    }
}

impl Add for CpuTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { total: self.total + other.total, user: self.user + other.user, system: self.system + other.system }
    }
}

/// Returns the CPU time of the calling thread.
pub(crate) fn own_cpu_time() -> io::Result<Duration> {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: ClockId) -> io::Result<Duration> {
    Ok(Duration::from_nanos(clock_gettime(clock)?.num_nanoseconds().cast_unsigned()))
}

/// Fields 14 and 15 of `/proc/PID/stat`. Field 2 is the program's name in parentheses, which may
/// contain anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Returns the resident memory in KB. From `smaps_rollup`, which walks the pages; the counters of
/// `statm` lag on several cores.
pub(crate) fn resident_kb(pid: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| io::Error::other("smaps_rollup has no line Rss"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 42 17 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some((42, 17)));
    }

    #[test]
    fn the_times_of_two_processes_add_up() {
        let of = |milliseconds, user, system| CpuTime { total: Duration::from_millis(milliseconds), user, system };
        let (before, after) = (of(10, 1, 0) + of(20, 2, 0), of(110, 5, 6) + of(220, 8, 14));
        assert_eq!(after.since(before), (Duration::from_millis(300), Some(1.0 / 3.0)));
    }

    #[test]
    fn a_process_sees_its_own_time_and_memory() {
        let pid = std::process::id();
        let before = CpuTime::of(pid).unwrap();
        let mut x = 0_u64;
        while CpuTime::of(pid).unwrap().total == before.total {
            x = std::hint::black_box(x + 1);
        }
        assert!(resident_kb(pid).unwrap() > 100);
    }
}
