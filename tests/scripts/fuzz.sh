#!/usr/bin/env bash
# Fuzzes what reads a peer's bytes: every target of tests/fuzz, so many seconds each (10 unless said
# otherwise), and says how many runs each did. Fails on the first that breaks a promise, and names
# the file with the bytes that do it. What libFuzzer found worth keeping stays in
# target/fuzz/corpus, so that a later run goes on from there. Installs cargo-fuzz into target/tools.
# Rows F1 and R9 of the specification.
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
    fail "cargo install cargo-fuzz failed; its own words are above"
fi
export PATH="$tools/bin:$PATH"

quietly cargo fetch --locked --manifest-path tests/fuzz/Cargo.toml ||
  fail "tests/fuzz/Cargo.lock does not fit the manifests; cargo's words are above"
# Without a sanitizer: wsx has no unsafe code for one to watch, and so the stable compiler will do.
quietly cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none --target-dir "$target" ||
  fail "the targets do not build; cargo's words are above"

told=""
for name in http envelope frames close; do
  corpus="$target/corpus/$name"
  log="$target/$name.txt"
  words=()
  [[ ! -f "tests/fuzz/$name.dict" ]] || words=("-dict=tests/fuzz/$name.dict")
  mkdir -p "$corpus"
  # A run that takes 10 s hangs, and 1 GiB is far more than any may need.
  "$target"/*/release/"$name" "$corpus" "tests/fuzz/seeds/$name" "${words[@]}" -max_total_time="$seconds" \
    -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$target/$name-" >"$log" 2>&1 || {
    grep --text --after-context=8 --max-count=1 'panicked at\|ERROR: libFuzzer' "$log" || tail "$log"
    sed --quiet 's/.*Test unit written to /the bytes are in /p' "$log"
    fail "$name: a run broke a promise; its words are above, and all of them in $log"
  }
  runs="$(sed --quiet --regexp-extended 's/^Done ([0-9]+) runs in .*/\1/p' "$log")"
  [[ -n "$runs" && "$runs" -gt 0 ]] || fail "$name: no run is known of; see $log"
  echo "fuzz $name: $runs runs in $seconds s, nothing found"
  told+="${told:+, }$name $runs"
done
echo "fuzz runs: $told; nothing found"
