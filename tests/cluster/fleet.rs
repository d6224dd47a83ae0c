//! The example `fleet cluster`: its nodes are killed, and its summary says what was checked.
//!
//! A test of the package of the examples, so that cargo builds the fleet for it.
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use wsx_tests::Peer;

/// How long the processes may live after their parent.
const PATIENCE: Duration = Duration::from_secs(20);
/// The variable that all processes of one fleet have.
const MARK: &str = "FLEET_OF_TEST";

/// A fleet that runs. It is killed when the test ends.
struct Fleet {
    process: Child,
    mark: String,
}

impl Fleet {
    fn start(test: &str, arguments: &[&str]) -> Self {
        let mark = format!("{test}-{}", std::process::id());
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
        command.arg("cluster").args(arguments).env(MARK, &mark).stdout(Stdio::piped());
        Self { process: command.spawn().expect("it was built"), mark }
    }

    /// Returns everything that it says from now on.
    fn rest(&mut self) -> String {
        let mut said = String::new();
        self.process.stdout.as_mut().expect("piped above").read_to_string(&mut said).expect("it prints UTF-8");
        said
    }

    /// Reads up to the first line with this text, and returns all of it.
    fn read_to(&mut self, text: &str) -> String {
        let mut lines = BufReader::new(self.process.stdout.as_mut().expect("piped above")).lines();
        let mut said = String::new();
        while !said.contains(text) {
            let line = lines.next().unwrap_or_else(|| panic!("{text:?} is not in: {said}"));
            said += &(line.expect("it prints UTF-8") + "\n");
        }
        said
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).expect("it runs");
    }

    /// Returns the command lines of its processes.
    fn processes(&self) -> Vec<String> {
        let mark = format!("{MARK}={}", self.mark).into_bytes();
        let mut found = Vec::new();
        for folder in fs::read_dir("/proc").expect("this is Linux").flatten().map(|entry| entry.path()) {
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == mark) {
                let line = fs::read(folder.join("cmdline")).unwrap_or_default();
                found.push(String::from_utf8_lossy(&line).replace('\0', " "));
            }
        }
        found
    }

    /// Waits until not one of its processes is left.
    fn leaves_nothing(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.processes().is_empty() {
            assert!(Instant::now() < deadline, "still there: {:?}", self.processes());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A node is killed every few seconds. Its boxes are back each time, and each node has the map, the
/// page and the broadcasts of all boxes.
#[test]
fn every_box_is_back_after_each_kill() {
    let mut fleet = Fleet::start("kills", &["--for", "15s", "--every", "5s"]);
    let said = fleet.rest();
    let status = fleet.process.wait().expect("it was started");
    let last = said.lines().last().unwrap_or_default();
    assert!(status.success(), "{status}: {said}");
    assert!(
        last.starts_with("kills 2, back within ") && last.ends_with(", failed 0, missed 0, wrong maps 0"),
        "{said}"
    );
    for expected in [
        "node-1 is killed, with 10 boxes",
        "node-3: node \"node-1\" is lost",
        " moved from node-1 to node-3",
        "node-1 starts again",
        "node-3: node \"node-1\" has joined",
        "and shows 30 of 30 online",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in: {said}");
    }
    fleet.leaves_nothing();
}

/// The same options as a check that cannot hold: a box needs longer than a millisecond.
#[test]
fn a_check_that_fails_is_shown_and_is_the_exit_status() {
    let mut fleet = Fleet::start("late", &["--for", "6s", "--every", "2s", "--within", "0.001s", "--boxes", "4"]);
    let said = fleet.rest();
    let status = fleet.process.wait().expect("it was started");
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("FAULT: 1ms after the kill of node-1: box-01 is away"), "{said}");
    assert!(last.contains("back within never"), "{said}");
    fleet.leaves_nothing();
}

/// The page of each node has the boxes of all nodes, online, each with the node that has it.
#[tokio::test]
async fn the_page_of_each_node_shows_the_boxes_of_all() {
    let mut fleet = Fleet::start("pages", &["--nodes", "2", "--boxes", "4"]);
    let said = fleet.read_to("the cluster is whole");
    let pages: Vec<_> =
        said.lines().filter_map(|line| line.split_once(": page: http://")?.1.strip_suffix('/')).collect();
    assert_eq!(pages.len(), 2, "{said}");
    let expected = ["node-1", "node-2", "node-1", "node-2"].map(|node| json!([true, ["box", node]]));
    let deadline = Instant::now() + PATIENCE;
    for page in pages {
        loop {
            let shown = Peer::connect(&format!("ws://{page}/ws")).await.receive().await;
            let boxes = shown["data"]["boxes"].as_array().expect("the first message has all boxes");
            let boxes: Vec<_> =
                boxes.iter().map(|shown| json!([shown["status"]["online"], shown["status"]["labels"]])).collect();
            if boxes == expected {
                break;
            }
            assert!(Instant::now() < deadline, "{page} shows {boxes:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    fleet.signal(Signal::SIGTERM);
    fleet.rest();
    assert!(fleet.process.wait().expect("it was started").success());
}

/// Ctrl-C ends all processes in order. The summary is there.
#[test]
fn it_stops_when_it_is_asked_to() {
    let mut fleet = Fleet::start("asked", &["--nodes", "2", "--boxes", "4"]);
    fleet.read_to("the cluster is whole");
    // The keeper of NATS, NATS, and the nodes.
    assert_eq!(fleet.processes().len(), 5, "{:?}", fleet.processes());
    fleet.signal(Signal::SIGINT);
    let said = fleet.rest();
    assert!(fleet.process.wait().expect("it was started").success(), "{said}");
    assert!(said.lines().last().unwrap_or_default().starts_with("kills 0, "), "{said}");
    fleet.leaves_nothing();
}

/// The processes end when their parent is killed.
#[test]
fn nothing_is_left_when_it_is_killed() {
    let mut fleet = Fleet::start("killed", &["--nodes", "2", "--boxes", "4"]);
    fleet.read_to("the cluster is whole");
    fleet.signal(Signal::SIGKILL);
    fleet.process.wait().expect("it was started");
    fleet.leaves_nothing();
}
