#!/usr/bin/env bash
# Fuzzes the code that reads a peer's bytes: every target of tests/fuzz for the given number of
# seconds (10 by default), and prints the number of runs of each. Fails at the first broken promise,
# and prints the file with the bytes. The inputs that libFuzzer keeps are in target/fuzz/corpus, so
# that a later run continues from there. Installs cargo-fuzz into target/tools.
# Row R9 of the specification.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

seconds="${1:-10}"
[[ "$seconds" =~ ^[1-9][0-9]*$ ]] || fail "usage: tests/scripts/fuzz.sh [SECONDS-PER-TARGET]"
version=0.13.2
tools="$PWD/target/tools"
target="$PWD/target/fuzz"

# libFuzzer is C++.
command -v c++ >/dev/null || need_packages g++
if [[ "$("$tools/bin/cargo-fuzz" --version 2>/dev/null)" != "cargo-fuzz $version" ]]; then
  echo "installing cargo-fuzz $version into target/tools"
  quietly cargo install --locked --root "$tools" --version "=$version" cargo-fuzz ||
    fail "cargo install cargo-fuzz failed; its output is above"
fi
export PATH="$tools/bin:$PATH"

quietly cargo fetch --locked --manifest-path tests/fuzz/Cargo.toml ||
  fail "tests/fuzz/Cargo.lock does not fit the manifests; cargo's output is above"
# Without a sanitizer: wsx has no unsafe code, and so the stable compiler is enough.
quietly cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none --target-dir "$target" ||
  fail "the targets do not build; cargo's output is above"

summary=""
for name in http envelope frames close; do
  corpus="$target/corpus/$name"
  log="$target/$name.txt"
  words=()
  [[ ! -f "tests/fuzz/$name.dict" ]] || words=("-dict=tests/fuzz/$name.dict")
  mkdir -p "$corpus"
  # A run that takes 10 s hangs, and 1 GiB is far more than a run needs.
  "$target"/*/release/"$name" "$corpus" "tests/fuzz/seeds/$name" "${words[@]}" -max_total_time="$seconds" \
    -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$target/$name-" >"$log" 2>&1 || {
    grep --text --after-context=8 --max-count=1 'panicked at\|ERROR: libFuzzer' "$log" || tail "$log"
    sed --quiet 's/.*Test unit written to /the bytes are in /p' "$log"
    fail "$name: a run broke a promise; its output is above, and complete in $log"
  }
  runs="$(sed --quiet --regexp-extended 's/^Done ([0-9]+) runs in .*/\1/p' "$log")"
  [[ -n "$runs" && "$runs" -gt 0 ]] || fail "$name: no run was counted; see $log"
  echo "fuzz $name: $runs runs in $seconds s, no failures"
  summary+="${summary:+, }$name $runs"
done
echo "fuzz runs: $summary; no failures"
