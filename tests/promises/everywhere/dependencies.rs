//! The libraries that wsx depends on: row X3 of the specification.
use std::process::Command;

/// Crates that write logs or collect metrics, and the crates that such crates are built on.
const LOGGING: [&str; 9] = [
    "env_logger",
    "log",
    "metrics",
    "opentelemetry",
    "prometheus",
    "slog",
    "tracing",
    "tracing-core",
    "tracing-subscriber",
];

/// Each crate below wsx, with the crate that depends on it.
fn dependencies(features: &[&str]) -> Vec<(String, String)> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--package", "wsx-rs", "--edges", "normal", "--no-dedupe"]);
    cargo.args(["--target", "all", "--prefix", "depth"]).args(features).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{cargo:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    let (mut path, mut found) = (Vec::<String>::new(), Vec::new());
    for line in String::from_utf8(output.stdout).expect("cargo prints UTF-8").lines() {
        let name = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let depth: usize = line[..line.len() - name.len()].parse().expect("a depth before each name");
        path.truncate(depth);
        path.push(name.split(' ').next().unwrap_or_default().to_owned());
        if let [.., dependent, crate_] = &path[..] {
            found.push((dependent.clone(), crate_.clone()));
        }
    }
    found
}

/// Every feature but `tracing` and `metrics`.
const OTHERS: &[&str] = &["--features", "axum,client,macros,proxy,rustls,server,testing,tungstenite"];

/// Row X3: wsx itself names no logging or metrics crate, except for the two features that are named
/// after one. By default `log` is the only one below it, which tungstenite brings.
#[test]
fn wsx_names_no_logging_and_no_metrics_library() {
    for features in [&[][..], OTHERS] {
        let all = dependencies(features);
        assert!(all.iter().any(|(dependent, crate_)| dependent == "wsx-rs" && crate_ == "tokio"), "{all:?}");
        for (dependent, crate_) in all.iter().filter(|(_, crate_)| LOGGING.contains(&&**crate_)) {
            assert!(!dependent.starts_with("wsx"), "{dependent} depends on {crate_}");
            if features.is_empty() {
                assert!(crate_ == "log" && dependent.ends_with("tungstenite"), "{dependent} brings {crate_}");
            }
        }
    }
}

/// Row X3: each of the two features brings its facade, and no recorder or subscriber.
#[test]
fn a_feature_for_observers_brings_its_facade_alone() {
    for feature in ["tracing", "metrics"] {
        let all = dependencies(&["--features", feature]);
        let named = |crate_: &&(String, String)| crate_.0 == "wsx-rs" && LOGGING.contains(&&*crate_.1);
        let named: Vec<_> = all.iter().filter(named).map(|(_, crate_)| &**crate_).collect();
        assert_eq!(named, [feature]);
    }
}
