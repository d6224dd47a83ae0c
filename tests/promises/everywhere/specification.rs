//! The rows of docs/specification.md and the tags of their proofs agree, in both directions: row D2
//! of the specification.
//!
//! A row's last column names its proofs, and the comment of each proof has the row's tag: `Row C4`,
//! `Rows C4, V1`, `Rows E1 to E3`. What is in backticks there is the name of a proof, and nothing
//! else:
//!
//! | in the row | where the tag is |
//! |---|---|
//! | `client::cancelling_ends_the_client` | at this test, in a file `client.rs` below `tests/` |
//! | `security` | in the first lines of a file `security.rs` below `tests/`, all of whose tests are proofs |
//! | `backoff::tests`, `head::tests::nothing_is_lost` | at unit tests of `wsx` |
//! | `./tests/scripts/fuzz.sh` | in the first lines of this script |
//! | `cargo run … --bin abuse …` | in the first lines of this program |
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Names of proofs, as rows have them, with the rows.
type Proofs = BTreeMap<String, BTreeSet<String>>;

fn add<'r>(proofs: &mut Proofs, name: &str, rows: impl IntoIterator<Item = &'r String>) {
    proofs.entry(name.to_owned()).or_default().extend(rows.into_iter().cloned());
}

/// Whether this is the name of a row, as `C4`.
fn is_row(text: &str) -> bool {
    let (letter, number) = text.split_at_checked(1).unwrap_or_default();
    letter.chars().all(|c| c.is_ascii_uppercase()) && number.parse::<u32>().is_ok()
}

/// The rows of the specification, in their order, and the proofs that they name.
fn promised() -> (Vec<String>, Proofs) {
    let (mut rows, mut proofs) = (Vec::new(), Proofs::new());
    for line in include_str!("../../../docs/specification.md").lines() {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [row, _, column] = cells[..] else { continue };
        if !is_row(row) {
            continue;
        }
        rows.push(row.to_owned());
        for quoted in column.split('`').skip(1).step_by(2) {
            let program = quoted.split_once("--bin ").and_then(|(_, program)| program.split(' ').next());
            add(&mut proofs, program.unwrap_or(quoted), rows.last());
        }
    }
    (rows, proofs)
}

/// The rows that a comment tags.
fn tags(comment: &str) -> BTreeSet<String> {
    let mut rows: BTreeSet<String> = BTreeSet::new();
    let mut words = comment.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if !matches!(word, "Row" | "Rows" | "row" | "rows") {
            continue;
        }
        let mut before: Option<&str> = None;
        let mut range = false;
        while let Some(word) =
            words.next_if(|word| matches!(*word, "to" | "and") || is_row(word.trim_end_matches([',', '.', ':', ';'])))
        {
            let row = word.trim_end_matches([',', '.', ':', ';']);
            if let Some(first) = before.filter(|_| range) {
                let number = |row: &str| row[1..].parse::<u32>().expect("a row has a number");
                rows.extend((number(first)..=number(row)).map(|number| format!("{}{number}", &row[..1])));
            } else if is_row(row) {
                rows.insert(row.to_owned());
            }
            range = word == "to";
            before = is_row(row).then_some(row).or(before);
            if word.ends_with([':', '.']) {
                break;
            }
        }
    }
    rows
}

/// Every file below a folder with one of these endings.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let named = |names: &[&str]| names.iter().any(|name| path.ends_with(name));
        // What others wrote, and what proves nothing by itself.
        if path.is_dir() && !named(&["node_modules", ".venv", "target", "bench", "fuzz", "fail", "pass"]) {
            files(&path, endings, found);
        } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
            found.push(path);
        }
    }
}

/// What a file is called: by its name, or by its folder's where the name says nothing.
fn module(path: &Path) -> &str {
    match stem(path) {
        "main" | "mod" | "lib" | "tests" => path.parent().map_or("", module),
        stem => stem,
    }
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// Reads the tags of a Rust file. `unit` is what stands between a module's name and a test's.
fn read(path: &Path, unit: &str, proofs: &mut Proofs) {
    let text = fs::read_to_string(path).expect("a readable file");
    let module = module(path);
    let head: String = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    add(proofs, module, &tags(&head));
    let (mut comment, mut test) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("///") {
            comment += more;
        } else if line.starts_with("#[") {
            test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else {
            let name = line.split_once("fn ").and_then(|(_, rest)| rest.split(['(', '<']).next());
            // A test that a macro makes has its comment at the function that the macro calls.
            if let Some(name) = name.filter(|_| test || matches!(module, "interop" | "kept")) {
                add(proofs, &format!("{module}{unit}::{name}"), &tags(&comment));
            }
            (comment, test) = (String::new(), false);
        }
    }
}

/// Everything that can be a proof, with its tags.
fn tagged() -> Proofs {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut proofs = Proofs::new();
    let (mut tests, mut units, mut scripts) = (Vec::new(), Vec::new(), Vec::new());
    files(here, &["rs"], &mut tests);
    for path in tests.iter().filter(|path| !path.ends_with("main.rs") || !path.starts_with(here.join("promises"))) {
        read(path, "", &mut proofs);
    }
    files(&here.join("../wsx/src"), &["rs"], &mut units);
    for path in units {
        read(&path, "::tests", &mut proofs);
    }
    files(&here.join("scripts"), &["sh"], &mut scripts);
    for path in scripts {
        let text = fs::read_to_string(&path).expect("a readable file");
        let head: String = text.lines().map_while(|line| line.strip_prefix('#')).collect();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        add(&mut proofs, &format!("./tests/scripts/{name}"), &tags(&head));
    }
    proofs
}

/// Every row names a proof. Every proof that a row names is there and has the row's tag. Every tag
/// is of a row that names the proof.
#[test]
fn each_row_names_its_proofs_and_each_proof_its_rows() {
    let ((rows, promised), tagged) = (promised(), tagged());
    let mut wrong = Vec::new();
    for (name, rows) in &promised {
        // The name of a file is one for all of its tests.
        let of = |other: &str| {
            other.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let mut proofs = tagged.iter().filter(|(other, _)| of(other)).peekable();
        if proofs.peek().is_none() {
            wrong.push(format!("{rows:?} names `{name}`, which is not there"));
            continue;
        }
        let tags: BTreeSet<_> = proofs.flat_map(|(_, tags)| tags).collect();
        wrong.extend(
            rows.iter().filter(|row| !tags.contains(row)).map(|row| format!("`{name}` has no tag of row {row}")),
        );
    }
    for (name, tags) in &tagged {
        let file = name.rsplit_once("::").map_or(name.as_str(), |(file, _)| file);
        let named = |row: &String| {
            [name.as_str(), file].iter().any(|name| promised.get(*name).is_some_and(|rows| rows.contains(row)))
        };
        wrong.extend(tags.iter().filter(|row| !named(row)).map(|row| format!("row {row} does not name `{name}`")));
    }
    for row in &rows {
        if !promised.values().any(|rows| rows.contains(row)) {
            wrong.push(format!("row {row} names no proof"));
        }
    }
    assert!(wrong.is_empty(), "{} disagreements:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows.len() > 50 && promised.len() > 150, "{} rows and {} proofs were read", rows.len(), promised.len());
}

#[test]
fn a_comment_tags_the_rows_that_it_names() {
    for (comment, expected) in [
        ("Row C4: a send waits.", "C4"),
        ("Rows C4, V1: a send waits. Row X4 too.", "C4 V1 X4"),
        ("How it ends: rows E1 to E3, M1 and M12 of the specification.", "E1 E2 E3 M1 M12"),
        ("A row of C4 bytes, and a Row", ""),
    ] {
        assert_eq!(tags(comment).into_iter().collect::<Vec<_>>(), expected.split_whitespace().collect::<Vec<_>>());
    }
}
