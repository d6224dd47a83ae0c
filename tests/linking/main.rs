//! Which handlers a linker may drop, and which it cannot: row M3 of the specification. What holds
//! in other build profiles, and in a program with two versions of wsx.
//!
//! The programs under `linking` are built in the development profile, because a linker drops some
//! of its many small objects.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not run: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{out}{err}");
    out.into_owned()
}

/// Builds a package in a target directory of this test, and returns the directory of its products.
fn build(package: &str, features: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linking");
    run(cargo("build", package, &target).args(["--features", features]));
    target.join("debug")
}

fn cargo(command: &str, package: &str, target: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    // The setting of the development profile, whatever the environment has.
    cargo.env("CARGO_INCREMENTAL", "1").current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args([command, "--locked", "--quiet", "--package", package, "--target-dir"]).arg(target);
    cargo
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

/// What the program `linking_profile` prints before a handler panics.
const BEFORE_THE_PANIC: &str = "complete: __raw__ health note\nopen: health note\nuntyped: plugged\nlimit: 21\n";

/// Row M12: a panic of a handler ends its connection, and the process if panics abort. Everything
/// before the panic is the same.
#[cfg(unix)]
#[test]
fn a_panic_of_a_handler_ends_a_program_whose_panics_abort() {
    use std::os::unix::process::ExitStatusExt;
    let program = build("wsx-linking-profile", "").join("linking_profile");
    let printed = run(&mut Command::new(&program));
    assert_eq!(printed, format!("{BEFORE_THE_PANIC}after the panic: 1011\n"));
    // The program alone selects what a panic does, so its libraries are not built again.
    let target = program.ancestors().nth(2).expect("the target directory");
    let mut cargo = cargo("rustc", "wsx-linking-profile", target);
    run(cargo.args(["--bin", "linking_profile", "--", "-C", "panic=abort"]));
    let output = Command::new(&program).output().expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), BEFORE_THE_PANIC);
    assert_eq!(output.status.signal(), Some(nix::libc::SIGABRT), "{output:?}");
}

/// Copies the sources of a package.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder of the test is writable");
    for entry in fs::read_dir(from).expect("the package exists") {
        let path = entry.expect("a readable folder").path();
        let copied = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &copied);
        } else {
            fs::copy(&path, &copied).expect("a readable file");
        }
    }
}

/// Returns what cargo says to a program that depends on this workspace's wsx, and on a copy of it
/// with another version.
fn with_two_versions(other_version: &str) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace exists");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("two_versions");
    let _ = fs::remove_dir_all(&folder);
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace has a manifest");
    let (start, end) =
        (manifest.find("members = [").expect("its members"), manifest.find("resolver =").expect("its resolver"));
    let manifest = format!("{}members = [\"wsx\", \"wsx-macros\"]\n{}", &manifest[..start], &manifest[end..]);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(manifest.matches(version).count(), 2, "the version of the workspace, and that of the macros");
    for package in ["wsx", "wsx-macros"] {
        copy(&root.join(package), &folder.join("other").join(package));
    }
    fs::write(folder.join("other/Cargo.toml"), manifest.replace(version, other_version)).expect("writable");
    let package = fs::read_to_string(root.join("wsx/Cargo.toml")).expect("wsx has a manifest");
    let name = package.split('"').nth(1).expect("the name of the package");
    let program = folder.join("program");
    fs::create_dir_all(program.join("src")).expect("writable");
    fs::write(program.join("src/main.rs"), "use {other as _, wsx as _};\nfn main() {}\n").expect("writable");
    fs::copy(root.join("Cargo.lock"), program.join("Cargo.lock")).expect("the workspace has a lock file");
    let manifest = format!(
        "[package]\nname = \"two-versions\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         wsx = {{ package = \"{name}\", path = \"{}/wsx\" }}\n\
         other = {{ package = \"{name}\", path = \"../other/wsx\" }}\n",
        root.display()
    );
    fs::write(program.join("Cargo.toml"), manifest).expect("writable");
    // Only resolves the dependencies, which is enough for the error, and builds nothing without it.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(program).args(["metadata", "--offline", "--format-version", "1"]);
    cargo.output().unwrap_or_else(|error| panic!("{cargo:?} does not run: {error}"))
}

/// Row M11: handlers are collected for one version of wsx. With two versions, Cargo builds nothing,
/// and names both.
#[test]
fn a_program_with_two_versions_of_wsx_is_not_built() {
    for other in ["0.9.0", "0.0.9"] {
        let output = with_two_versions(other);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "two versions of wsx are accepted");
        for part in [
            "links to the native library `wsx`",
            &format!("v{other}"),
            "only one package uses the `links = \"wsx\"` value",
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
    }
}
