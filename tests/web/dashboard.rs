//! The fleet's dashboard, in a real browser: headless Chromium, driven by playwright-core: row U11
//! of the specification.
//!
//! Each test runs a scenario of `run.mjs`. The scenarios start the fleet, and look at the page as a
//! person does. A test of the package of the examples, so that cargo builds the fleet for it.
use nix::{sys::signal::Signal, sys::signal::killpg, unistd::Pid};
use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const FLEET: &str = env!("CARGO_BIN_EXE_fleet");
/// Time limit of a scenario. The longest takes about 40 s on a machine with two cores.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs a scenario. When its time is over, all its programs are killed.
fn run(scenario: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/web");
    for (path, what) in
        [(folder.join("node_modules/playwright-core"), "npm packages"), ("/usr/bin/chromium".into(), "Chromium")]
    {
        assert!(path.exists(), "{} is missing: run ./tests/run.sh once, it installs the {what}", path.display());
    }
    let mut command = Command::new("node");
    command.arg(folder.join("dashboard/run.mjs")).arg(scenario).env("FLEET", FLEET).process_group(0);
    let mut node = command.stdin(Stdio::null()).spawn().expect("node is installed");
    let group = Pid::from_raw(node.id().try_into().expect("an id of a process"));
    let (ended, waiting) = mpsc::channel();
    let watch = thread::spawn(move || {
        let is_late = waiting.recv_timeout(LIMIT).is_err();
        // Also what a scenario has left behind. The group may be empty.
        let _ = killpg(group, Signal::SIGKILL);
        is_late
    });
    let status = node.wait().expect("it was started");
    let _ = ended.send(());
    let is_late = watch.join().expect("it does not panic");
    assert!(!is_late, "the scenario {scenario} was not done within {LIMIT:?}");
    assert!(status.success(), "the scenario {scenario} failed, with {status}; its own words are above");
}

/// Charts and values are those of the host, and change by themselves.
#[test]
fn real_values_appear_and_change() {
    run("values");
}

/// A person's request gets its reply, or the reason for a missing one.
#[test]
fn a_request_gets_its_reply_or_the_reason() {
    run("requests");
}

/// The page shows a killed box as absent, and what waits for it.
#[test]
fn a_killed_box_is_absent() {
    run("absence");
}

/// The page says since when its server is gone, and recovers by itself.
#[test]
fn the_page_recovers_when_its_server_comes_back() {
    run("recovery");
}

/// A server that needs a newer page has the page say so.
#[test]
fn an_outdated_page_says_so() {
    run("outdated");
}

/// Names, states and labels are filters.
#[test]
fn filters_choose_the_boxes() {
    run("filters");
}

/// The work for a message has a bound, with 500 boxes.
#[test]
fn five_hundred_boxes_stay_smooth() {
    run("crowd");
}

/// Everything works by keyboard.
#[test]
fn everything_works_by_keyboard() {
    run("keyboard");
}

/// Axe finds nothing, in light and dark, on a wide screen and on a phone.
#[test]
fn axe_finds_nothing() {
    run("accessibility");
}

/// A page of another origin is rejected.
#[test]
fn another_origin_is_rejected() {
    run("origins");
}

/// Pages, boxes and their texts have bounds.
#[test]
fn what_the_network_makes_grow_has_a_bound() {
    run("bounds");
}

/// The page is served by default, and `off` turns it off.
#[test]
fn the_page_is_on_by_default() {
    for (arguments, is_on) in [(&[][..], true), (&["--page", "off"], false)] {
        let mut command = Command::new(FLEET);
        command.args(["server", "--listen", "127.0.0.1:0", "--for", "1s"]).args(arguments);
        let mut server = command.stdout(Stdio::piped()).spawn().expect("it was built");
        let lines = BufReader::new(server.stdout.take().expect("piped above")).lines();
        let said: Vec<_> = lines.map(|line| line.expect("it prints UTF-8")).collect();
        let page = said.iter().any(|line| line.starts_with("page: http://127.0.0.1:"));
        assert_eq!(page, is_on, "{said:?}");
        assert!(server.wait().expect("it was started").success());
    }
}
