//! Runs a test that measures its process in a process of its own, where nothing else allocates.
use std::{
    any::type_name,
    env,
    future::Future,
    process::Command,
    sync::{Mutex, PoisonError},
};

/// The environment variable with the name of the test that this process was started for.
const ALONE: &str = "WSX_TEST_ALONE";

/// Runs the body of a `#[test]` in a process of its own, on a runtime with two threads. At most one
/// such process runs at a time.
///
/// The body is an `async` block written in the test function itself. The type name of the block
/// contains the name of the test.
///
/// # Panics
///
/// When the body panics, or when no test of that name runs.
pub fn alone<Body: Future<Output = ()>>(body: Body) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // The type name is: crate, modules, test function, block.
    let (_, test) = type_name::<Body>().split_once("::").expect("a test is in a crate");
    let test = test.split("::{{closure}}").next().expect("splitting always yields a first item");
    if env::var(ALONE).as_deref() == Ok(test) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.expect("the system can start threads").block_on(body);
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut process = Command::new(env::current_exe().expect("the system knows the path of the running program"));
    let output =
        process.args(["--exact", test, "--nocapture"]).env(ALONE, test).output().expect("the test program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{stdout}");
    eprint!("{stderr}");
    assert!(output.status.success(), "{test} failed in its own process; its output is above");
    assert!(stdout.contains("1 passed"), "there is no test with the name {test}");
}

/// Returns the resident memory of this process, in KiB.
///
/// # Panics
///
/// On systems other than Linux.
#[must_use]
pub fn resident_kib() -> usize {
    status_kib("VmRSS:")
}

/// Returns the memory that this process has reserved for data, in KiB, whether it uses it or not.
///
/// # Panics
///
/// On systems other than Linux.
#[must_use]
pub fn reserved_kib() -> usize {
    status_kib("VmData:")
}

fn status_kib(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has this file");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux reports this value");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
