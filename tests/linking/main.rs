//! Which handlers a linker may drop, and which it cannot: row M3 of the specification.
//!
//! The programs under `linking` are built in the development profile, because a linker drops some
//! of its many small objects.
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not run: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{out}{err}");
    out.into_owned()
}

/// Builds a package in a target directory of this test, and returns the directory of its products.
fn build(package: &str, features: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linking");
    let mut cargo = Command::new(env!("CARGO"));
    // The setting of the development profile, whatever the environment has.
    cargo.env("CARGO_INCREMENTAL", "1");
    cargo.current_dir(manifest).args(["build", "--locked", "--quiet", "--package", package, "--features", features]);
    run(cargo.arg("--target-dir").arg(&target));
    target.join("debug")
}

/// Row M3: a crate that nothing refers to is not linked, and its handlers are missing. The handlers
/// of a complete endpoint never are. A handler of another crate may join a partial endpoint.
#[test]
fn a_forgotten_crate_loses_its_handlers_and_a_complete_endpoint_none() {
    let programs = build("wsx-linking-programs", "");
    let forgets = run(&mut Command::new(programs.join("linking_forgets")));
    assert_eq!(forgets, "complete: __raw__ health note\nopen: health\nuntyped: \n");
    let remembers = run(&mut Command::new(programs.join("linking_remembers")));
    assert_eq!(remembers, "complete: __raw__ health note\nopen: health note\nuntyped: plugged\n");
    // Two handlers for one message in two crates: only the start-up check can see that.
    let programs = build("wsx-linking-programs", "twice");
    let twice = run(&mut Command::new(programs.join("linking_remembers")));
    assert!(twice.contains("two handlers for \"health\": wsx_linking_endpoint::handlers::open_health (tests/linking/endpoint/src/lib.rs:"), "{twice}");
    assert!(twice.contains(" and wsx_linking_plugin::on_health (tests/linking/plugin/src/lib.rs:"), "{twice}");
}

/// Row M3: a C program that links a static library loses the handlers that only `inventory`
/// collects, and keeps those that the type system collects.
#[test]
fn a_static_library_in_a_c_program_keeps_the_table_of_a_complete_endpoint() {
    let products = build("wsx-linking-archive", "");
    let program = products.join("linking_c_program");
    let mut compiler = Command::new("cc");
    compiler.arg("-o").arg(&program).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("linking/archive/main.c"));
    compiler.arg(products.join("libwsx_linking_archive.a")).args(["-lpthread", "-ldl", "-lm"]);
    run(&mut compiler);
    let report = run(&mut Command::new(program));
    assert!(report.starts_with("complete: __raw__ health note\n"), "{report}");
    assert!(!report.contains("archived"), "the linker keeps more than before; update the documents:\n{report}");
}
