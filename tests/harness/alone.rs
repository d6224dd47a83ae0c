//! Tests that measure their process: each runs in a process of its own, where nothing else allocates.
use std::{
    any::type_name,
    env,
    future::Future,
    process::Command,
    sync::{Mutex, PoisonError},
};

/// The name of the test that a process was started for.
const ALONE: &str = "WSX_TEST_ALONE";

/// Runs the body of a `#[test]` in a process of its own, on a runtime with two threads. One such process runs at a time.
///
/// The body is an `async` block that is written in the test itself, whose name is taken from there.
///
/// # Panics
///
/// When the body panics, or the test of this name does not run.
pub fn alone<Body: Future<Output = ()>>(body: Body) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // The crate, the modules, the test, the block in it.
    let (_, test) = type_name::<Body>().split_once("::").expect("a test is in a crate");
    let test = test.split("::{{closure}}").next().expect("a split text has a first part");
    if env::var(ALONE).as_deref() == Ok(test) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.expect("threads can be made").block_on(body);
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut process = Command::new(env::current_exe().expect("a test is a program"));
    let output = process.args(["--exact", test, "--nocapture"]).env(ALONE, test).output().expect("a test can be run");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{said}");
    eprint!("{complained}");
    assert!(output.status.success(), "{test} failed in its own process; its words are above");
    assert!(said.contains("1 passed"), "no test has the name {test}");
}

/// The memory of this process that is resident, in KiB.
///
/// # Panics
///
/// On a system that is not Linux.
#[must_use]
pub fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux reports it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux reports it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
