//! The source of the client: one text in two languages, short, and typed so that mistakes do not
//! compile: row U10 of the specification.
use crate::{page::script, protocol::Web};
use std::{collections::BTreeMap, fs, process::Command};

/// Runs Node.js in tests/web. Returns what it prints, and whether it ended well.
fn node(arguments: &[&str]) -> (String, bool) {
    let folder = script("");
    let output = Command::new("node").args(arguments).current_dir(folder).output().expect("Node.js starts");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (text.into_owned(), output.status.success())
}

/// The generated client of these tests is what the macro writes.
#[test]
fn the_client_of_these_tests_is_the_present_one() {
    wsx::contract::export!(Web, "web/contract");
}

/// `client.ts` is its modules, joined. `client.js` and `store.js` are what the compiler makes of
/// it.
#[test]
fn both_languages_have_one_source() {
    let (text, is_good) = node(&["join.mjs", "--check"]);
    assert!(is_good, "{text}");
}

/// The client has at most 8 KiB, minified and gzipped.
#[test]
fn the_client_is_short() {
    let (text, is_good) = node(&["size.mjs"]);
    assert!(is_good, "{text}");
    let sizes: BTreeMap<String, usize> = serde_json::from_str(&text).unwrap();
    assert!(sizes["gzipped"] <= 8 * 1024, "{sizes:?}");
}

/// Strict TypeScript accepts good use, and rejects each mistake with a text that says what is
/// wrong.
///
/// `types/mistakes.ts` has a comment above each mistake, with a part of the error's text.
#[test]
fn mistakes_do_not_compile() {
    let (errors, _) = node(&["node_modules/typescript/bin/tsc", "-p", "tsconfig.json", "--pretty", "false"]);
    let mistakes = fs::read_to_string(script("types/mistakes.ts")).unwrap();
    let mut found: BTreeMap<usize, String> = BTreeMap::new();
    let mut line = 0;
    for error in errors.lines() {
        // The lines after the first one of an error are indented.
        if let Some(rest) = error.strip_prefix("types/mistakes.ts(") {
            line = rest.split(',').next().and_then(|line| line.parse().ok()).expect("a line number");
        } else {
            assert!(error.starts_with(' '), "{error}");
        }
        found.entry(line).or_default().push_str(error);
    }
    for (at, text) in mistakes.lines().enumerate() {
        let Some(expected) = text.trim().strip_prefix("// Error: ") else { continue };
        let error = found.remove(&(at + 2)).unwrap_or_else(|| panic!("line {} compiles: {expected}", at + 2));
        assert!(error.contains(expected), "line {}: expected {expected:?}, got {error}", at + 2);
    }
    assert!(found.is_empty(), "{found:?}");
}
