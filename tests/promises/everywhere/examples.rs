//! The example programs run: row D1 of the specification.
//!
//! A test of the package of the examples, so that cargo builds them for it.
use std::process::Command;

/// Row D1: a server and three boxes talk for six seconds. The server restarts meanwhile. The last
/// line says that nothing was lost and that each box has reconnected.
#[test]
fn the_fleet_loses_nothing_when_its_server_restarts() {
    let output = Command::new(env!("CARGO_BIN_EXE_fleet")).args(["--for", "6s"]).output().expect("it was built");
    let said = String::from_utf8(output.stdout).expect("it prints UTF-8");
    let last = said.lines().last().unwrap_or_default();
    let numbers: Vec<u32> =
        last.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).flat_map(str::parse).collect();
    let [received, lost, reconnected] = numbers[..] else { panic!("three numbers in the last line: {said}") };
    assert_eq!(last, format!("received {received}, lost {lost}, reconnected {reconnected}"));
    assert!(received > 0 && lost == 0 && reconnected >= 3, "{last}");
    assert!(output.status.success(), "{}", output.status);
}
