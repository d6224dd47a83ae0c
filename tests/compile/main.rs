//! The mistakes under `compile/fail`, and what the compiler says of them; and what must compile, under `compile/pass`.
//!
//! `TRYBUILD=overwrite` writes the expected words anew.
use std::{fs, path::Path};

/// Rows M1, M3: each mistake is told at the user's own token.
#[test]
fn a_mistake_is_told_at_its_own_place() {
    trybuild::TestCases::new().compile_fail("compile/fail/*.rs");
}

/// Rows L1, M1, M3: what looks odd and is right compiles, and runs.
#[test]
fn what_is_no_mistake_compiles_and_runs() {
    trybuild::TestCases::new().pass("compile/pass/*.rs");
}

/// Rows M1, M3: one mistake, one error; the words beside each mistake are what the compiler said.
#[test]
fn a_mistake_is_one_error() {
    let mistakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("compile/fail");
    let mut count = 0;
    for entry in fs::read_dir(mistakes).expect("the mistakes are here") {
        let path = entry.expect("a readable folder").path();
        let text = fs::read_to_string(&path).expect("a readable file");
        if path.extension().is_some_and(|extension| extension == "rs") {
            assert!(text.lines().count() < 15, "{} is longer than one mistake needs", path.display());
            count += 1;
        } else {
            let errors = text.lines().filter(|line| line.starts_with("error")).count();
            assert_eq!(errors, 1, "{}", path.display());
        }
    }
    assert!(count >= 30, "{count} mistakes");
}
