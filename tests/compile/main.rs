//! The mistakes under `compile/fail` with the compiler's errors, and the programs under
//! `compile/pass`, which must compile.
//!
//! `TRYBUILD=overwrite` writes the expected errors.
use std::{fs, path::Path};

/// Rows D10, G2, M1, M3, Q2, Q9, S7: each mistake is reported at the user's own token.
#[test]
fn a_mistake_is_reported_at_its_own_token() {
    trybuild::TestCases::new().compile_fail("compile/fail/*.rs");
}

/// Rows G1, L1, M1, M3, Q2, Q9: unusual but correct programs compile and run.
#[test]
fn a_correct_program_compiles_and_runs() {
    trybuild::TestCases::new().pass("compile/pass/*.rs");
}

/// Errors about two protocols with the same two sides: a side and the enum of its messages, twice.
const NAMES_OF_TWO_SIDES: usize = 4;

/// Rows G2, M1, M3, Q2, Q9: one mistake, one error. The file beside each mistake has the compiler's
/// output.
#[test]
fn a_mistake_is_one_error() {
    let mistakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("compile/fail");
    let mut count = 0;
    for entry in fs::read_dir(mistakes).expect("the folder of the mistakes exists") {
        let path = entry.expect("a readable folder").path();
        let text = fs::read_to_string(&path).expect("a readable file");
        if path.extension().is_some_and(|extension| extension == "rs") {
            assert!(text.lines().count() < 15, "{} is longer than one mistake needs", path.display());
            count += 1;
        } else {
            let errors = text.lines().filter(|line| line.starts_with("error")).count();
            // Each name that is there twice is a mistake of its own.
            let expected =
                if path.ends_with("two_protocols_with_the_same_sides.stderr") { NAMES_OF_TWO_SIDES } else { 1 };
            assert_eq!(errors, expected, "{}", path.display());
        }
    }
    assert!(count >= 30, "only {count} mistakes");
}
