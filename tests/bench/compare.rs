//! Runs the whole program with peers that need no installation. A test asserts no speed, so this
//! checks only that it measures.
use serde_json::Value;
use std::{fs, path::Path, process::Command};

fn compare(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wsx-bench"))
        .args(["compare", "--quick"])
        .args(arguments)
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn workloads_run_and_are_written_as_json() {
    let (success, stdout, stderr) =
        compare(&["--json", "--peer", "wsx", "--workload", "burst-128-typed", "ping-pong-envelope", "broadcast-1k-16"]);
    assert!(success, "{stderr}");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(lines.len(), 3, "{stdout}");
    for line in &lines {
        assert_eq!(line["peer"], "wsx");
        for key in ["cpu_us", "p50_us", "p95_us", "p99_us"] {
            assert!(line[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {line}");
        }
        // Without gorilla there is no ratio.
        assert_eq!(line["ratio"], Value::Null);
    }
    assert_eq!(lines[0]["rss_kb_per_conn"], Value::Null);
    assert!(lines[2]["rss_kb_per_conn"].is_number());
}

#[test]
fn requests_measure_both_ends_of_every_rust_peer() {
    let peers = ["wsx-request", "wsx-by-hand", "jsonrpsee", "tarpc-json", "tarpc-bincode"];
    let (success, stdout, stderr) =
        compare(&[&["--json", "--workload", "request-1", "request-64", "--peer", "wsx"], peers.as_slice()].concat());
    assert!(success, "{stderr}");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let measured: Vec<&str> = lines.iter().filter_map(|line| line["peer"].as_str()).collect();
    // `wsx` is the peer of the messages.
    assert_eq!(measured, [peers, peers].concat());
    for line in &lines {
        let value = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"));
        for key in ["cpu_us", "load_us", "per_second", "p50_us", "p95_us", "p99_us", "ratio"] {
            assert!(value(key) > 0.0, "{key} in {line}");
        }
        assert!(value("load_us") < value("cpu_us"), "the client is a part of {line}");
        assert_eq!(line["ratio"] == 1.0, line["peer"] == "jsonrpsee", "{line}");
    }
}

#[test]
fn kept_messages_are_measured_on_each_way() {
    let output = Command::new(env!("CARGO_BIN_EXE_wsx-bench"))
        .args(["deliver", "--quick", "--way", "wsx-hub", "wsx-forward"])
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for way in ["`wsx-hub`", "`wsx-forward`"] {
        let rows: Vec<_> = text.lines().filter(|line| line.contains(way)).collect();
        assert_eq!(rows.len(), 2, "{text}");
        for figure in rows.iter().flat_map(|row| row.split('|').skip(2).filter(|figure| !figure.is_empty())) {
            let figure: f64 = figure.trim().replace(',', "").parse().expect("a figure is a number");
            assert!(figure > 0.0, "{text}");
        }
    }
}

#[test]
fn compression_is_measured_beside_none() {
    let servers = ["wsx-off", "wsx", "wsx10"];
    let output = Command::new(env!("CARGO_BIN_EXE_wsx-bench"))
        .args(["deflate", "--quick", "--table", "settings", "states", "servers", "memory", "--server"])
        .args(servers)
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with('|') && !line.contains("---") && line.bytes().any(|byte| byte.is_ascii_digit()))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let row = |start: &str, columns: usize| {
        let found = rows.iter().find(|row| row.len() == columns && row[0].starts_with(start));
        found.unwrap_or_else(|| panic!("{start} in {text}"))
    };
    let figure = |cell: &str| cell.trim_end_matches(" %").replace(',', "").parse::<f64>().expect("it is a number");
    for cell in row("10", 9).iter().filter(|cell| !["yes", "no"].contains(cell)) {
        assert!(figure(cell) > 0.0, "{text}");
    }
    assert!(figure(row("compress, window of 15", 2)[1]) > figure(row("inflate", 2)[1]), "{text}");
    let (off, on) = (row("wsx, off", 10), row("wsx, the default", 10));
    assert_eq!([1, 4, 7].map(|at| figure(off[at])), [100.0; 3], "{text}");
    // What boxes send has a context, and the pages have long messages.
    assert!(figure(on[1]) < 50.0 && figure(on[7]) < 70.0, "{text}");
    assert!(figure(row("wsx, both contexts, 10", 10)[4]) < 50.0, "{text}");
    assert!(figure(row("wsx, off", 3)[1]) > 0.0, "{text}");
}

#[test]
fn a_cluster_of_wsx_is_measured() {
    // `nats-server` is Debian's, which `tests/scripts/install.sh` installs.
    let output = Command::new(env!("CARGO_BIN_EXE_wsx-bench"))
        .args(["cluster", "--quick", "--connections", "20", "--server", "wsx"])
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `wsx` |")).collect();
    assert_eq!(rows.len(), 4, "{text}");
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        // The others are the ratios to servers that did not run.
        for cell in [cells[1], cells[4], cells[5], cells[6], cells[7]] {
            assert!(cell.replace(',', "").parse::<f64>().expect("a figure is a number") > 0.0, "{text}");
        }
        assert_eq!(cells[2..4], ["–", "–"], "{text}");
    }
}

#[test]
fn a_peer_and_a_workload_that_do_not_fit_are_an_error() {
    let (success, _, stderr) = compare(&["--peer", "gorilla", "--workload", "request-1"]);
    assert!(!success);
    assert!(stderr.contains("none of these peers runs any of these workloads"), "{stderr}");
}

#[test]
fn the_tables_go_into_the_document() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("document");
    let document = directory.join("benchmarks.md");
    fs::create_dir_all(&directory).expect("the test can make its directory");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks.md"), &document).expect("the document exists");
    let to = directory.to_str().expect("the path is text");
    let (success, stdout, stderr) = compare(&["--peer", "wsx", "--workload", "handshake", "--plot", to]);
    assert!(success, "{stderr}");
    let written = fs::read_to_string(&document).expect("the document still exists");
    assert!(stdout.contains("### `handshake`"), "{stdout}");
    assert!(written.contains(stdout.trim_end()), "{written}");
}
