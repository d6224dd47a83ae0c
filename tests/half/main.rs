//! The protocol half of wsx: row A1 of the specification.
use std::{collections::BTreeSet, path::Path, process::Command};

/// Everything that the protocol half brings into a program.
const HALF: [&str; 6] = ["itoa", "memchr", "serde", "serde_core", "serde_json", "zmij"];
/// What it needs while it builds.
const MACROS: [&str; 6] = ["proc-macro2", "quote", "serde_derive", "syn", "unicode-ident", "wsx-macros"];

/// The packages that a package depends on, in all.
fn dependencies(package: &str, features: &[&str], edges: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--package", package, "--edges", edges, "--target", "all"]);
    cargo.args(["--prefix", "none", "--no-dedupe", "--format", "{p}"]).args(features);
    let output = cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).output().expect("cargo runs");
    assert!(output.status.success(), "{cargo:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let names = lines.lines().filter_map(|line| line.split(' ').next()).filter(|name| *name != package);
    names.map(str::to_owned).collect()
}

/// Row A1: the protocol half depends on serde and `serde_json`, on what these depend on, and on
/// nothing else.
#[test]
fn the_protocol_half_depends_on_serde_alone() {
    let half: BTreeSet<_> = HALF.map(str::to_owned).into();
    let with_macros: BTreeSet<_> = HALF.iter().chain(&MACROS).map(|&name| name.to_owned()).collect();
    assert_eq!(dependencies("wsx-rs", &["--no-default-features"], "normal,no-proc-macro"), half);
    let macros = ["--no-default-features", "--features", "macros"];
    assert_eq!(dependencies("wsx-rs", &macros, "normal,no-proc-macro"), half);
    assert_eq!(dependencies("wsx-rs", &macros, "normal"), with_macros);
    let protocol_crate = dependencies("fleet-protocol", &[], "normal");
    assert_eq!(protocol_crate, &with_macros | &["wsx-rs".to_owned()].into());
    assert!(dependencies("wsx-rs", &[], "normal").contains("tokio"), "cargo lists the dependencies");
}

/// Rows A1, G1: a protocol of three messages compiles and runs without the engine, and so does one
/// whose messages declare their delivery.
#[test]
fn a_protocol_crate_needs_only_the_protocol_half() {
    trybuild::TestCases::new().pass("pass/*.rs");
}

/// Row A1: a macro of the engine says which feature it needs.
#[test]
fn a_handler_in_the_protocol_half_is_an_error_that_names_the_features() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
