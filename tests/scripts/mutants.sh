#!/usr/bin/env bash
# Breaks the code in one place after the other with cargo-mutants, and expects the tests to notice
# each. Fails if they miss one that tests/mutants.txt does not list with a reason.
#
# The quick unit tests come first, then the long ones, then the promises of connections and servers.
# Each of them tries only what the tests before it have missed. Without arguments, it takes the
# files of the engine. With FILEs, it takes only those; with a SHARD, as `0/24`, only a part.
# Installs cargo-mutants into target/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

usage="usage: tests/scripts/mutants.sh [SHARD/SHARDS] [FILE...]"
# Which mutants of the files the next run takes.
only=() of=""
if [[ "${1:-}" =~ ^[0-9]+/[0-9]+$ ]]; then
  only=(--shard "$1" --sharding round-robin)
  of=" of shard $1"
  shift
fi
files=("$@")
((${#files[@]})) || files=(wsx/src/{wire,connection,task}/'**/*.rs' wsx/src/server/{admission,duplicates,pace,places}.rs)
# `Poll` has neither of these functions, so these mutants would only fail to compile. With all
# features, `disabled.rs` is not compiled. Of `tests.rs`, only a plain `cfg(test)` is left out
# anyway.
picked=(--package wsx-rs --exclude-re 'with Poll::(new|from_iter)\(' --exclude '**/disabled.rs' --exclude '**/tests.rs')
for file in "${files[@]}"; do
  [[ "$file" == wsx/src/*.rs ]] || fail "$usage"
  picked+=(--file "$file")
done
need_tool cargo-mutants 27.1.0 mutants
# A mutant changes one function, and debug information would only make its link slower.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=1

results="$PWD/target/mutants"
rm -rf "$results"
mkdir -p "$results"
# The mutants that every run has missed.
missed="$results/missed.txt"
lines() { wc --lines <"$missed"; }

# mutate SECONDS ARGUMENT...: runs cargo-mutants with a time limit for the tests. A mutant that
# survives (2) or hangs (3) is an error for cargo-mutants. A hanging test has noticed its mutant.
# The next run takes what this one has missed, by name: `--iterate` would shard another list. A
# mutant without a field is taken whatever its name is, and so is left out here.
mutate() {
  local seconds="$1" status=0 now="$results/mutants.out/missed.txt"
  shift
  cargo mutants --all-features "${picked[@]}" "${only[@]}" --output "$results" --timeout "$seconds" \
    --build-timeout 600 --no-times --colors never "$@" >"$results/log.txt" 2>&1 || status=$?
  [[ "$status" == [023] ]] || { tail --lines=30 "$results/log.txt"; fail "cargo mutants failed; its last words are above"; }
  [[ -e "$missed" ]] || cp "$now" "$missed"
  sort "$missed" "$now" | uniq --repeated >"$missed.new"
  mv "$missed.new" "$missed"
  mapfile -t only < <(sed 's/[][\.*^$+?(){}|]/\\&/g; s/.*/--re=^&$/' "$missed")
}

start=$SECONDS
# Those of kept messages wait for real seconds, and seldom notice what the others miss.
long=(the_reader_and_tungstenite_agree one_pass_and_two_agree_on_mutated_frames delivery::)
total="$(cargo mutants --list "${picked[@]}" "${only[@]}" 2>/dev/null | wc --lines)"
((total > 0)) || fail "these files have no mutants"
# With `--lib` for the build too, only the unit tests are built.
mutate 30 --cargo-arg=--lib -- -- "${long[@]/#/--skip=}"
if (($(lines) > 0)); then
  mutate 60 --cargo-arg=--lib -- -- "${long[@]}"
fi
missed_by_units="$(lines)"
if ((missed_by_units > 0)); then
  promises=(--test=connection --test=server)
  # cargo-mutants looks for these tests in wsx-rs when it tries the code without a mutant.
  quietly cargo test --locked --package wsx-tests --all-features --no-run "${promises[@]}" || fail "the tests do not build"
  before=$SECONDS
  quietly cargo test --locked --package wsx-tests --all-features "${promises[@]}" ||
    fail "the promises do not hold without a mutant; the words of the tests are above"
  # A busy machine needs longer, and a test that is only slow has noticed nothing.
  mutate $((60 + 3 * (SECONDS - before))) --baseline skip --test-package wsx-tests "${promises[@]/#/--cargo-arg=}"
fi

unknown=0
while IFS= read -r mutant; do
  if ! grep --quiet --fixed-strings "$mutant | " tests/mutants.txt; then
    echo "not noticed: $mutant"
    unknown=$((unknown + 1))
  fi
done < <(sed --regexp-extended 's/:[0-9]+:[0-9]+: /: /' "$missed")
((unknown == 0)) || fail "$unknown mutants are neither noticed by a test nor listed in tests/mutants.txt"
echo "mutants$of: $total in $(((SECONDS - start) / 60)) minutes, of which $missed_by_units passed the unit tests and $(lines) are listed; nothing else was missed"
