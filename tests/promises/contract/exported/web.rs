//! Programs of Node.js, and the compiler of TypeScript.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder with the packages of npm.
fn web() -> PathBuf {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    assert!(web.join("node_modules").is_dir(), "the packages of tests/web are missing: run tests/scripts/install.sh");
    web
}

/// Runs a program of `tests/web`. Returns what it prints, and whether it ended well.
fn node(program: &str, arguments: &[&str]) -> (String, bool) {
    run(Command::new("node").arg(web().join(program)).args(arguments))
}

fn run(command: &mut Command) -> (String, bool) {
    let output = command.output().expect("node runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("Node.js prints UTF-8");
    (text(output.stdout) + &text(output.stderr), output.status.success())
}

/// Returns the JSON of a constant that a module of JavaScript exports.
pub(super) fn constant(module: &Path, name: &str) -> String {
    // Without a package.json, Node.js knows a module by its ending.
    let copy = module.with_extension("mjs");
    fs::copy(module, &copy).expect("the folder can be written");
    let code = format!("import {{ {name} }} from {copy:?}; console.log(JSON.stringify({name}));");
    let (text, is_good) = run(Command::new("node").args(["--input-type=module", "--eval", &code]));
    assert!(is_good, "{text}");
    text
}

/// Type-checks files as strictly as TypeScript can. Returns the errors.
pub(super) fn type_check(files: &[&Path]) -> String {
    let options = "--noEmit --pretty false --strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes \
                   --noUnusedLocals --noUnusedParameters --noImplicitReturns --verbatimModuleSyntax \
                   --target es2022 --module esnext --moduleResolution bundler --lib es2022,dom";
    let mut arguments: Vec<&str> = options.split_whitespace().collect();
    arguments.extend(files.iter().map(|file| file.to_str().expect("the path is UTF-8")));
    let (text, is_good) = node("node_modules/typescript/bin/tsc", &arguments);
    assert_eq!(text.is_empty(), is_good, "{text}");
    text
}

/// Parses a document of AsyncAPI, and validates envelopes against its messages. Returns the
/// mistakes of the document, and one line for each envelope.
pub(super) fn asyncapi(document: &Path, envelopes: &Path) -> String {
    let path = |path: &Path| path.to_str().expect("the path is UTF-8").to_owned();
    let (text, is_good) = node("asyncapi.mjs", &[&path(document), &path(envelopes)]);
    assert!(is_good, "{text}");
    text
}
