//! The mistakes under `ui/fail`, and what the compiler says of them. `TRYBUILD=overwrite` writes the expected words anew.

/// Row M1: each mistake is one error, at the user's own token.
#[test]
fn a_mistake_is_told_at_its_own_place() {
    trybuild::TestCases::new().compile_fail("ui/fail/*.rs");
}
