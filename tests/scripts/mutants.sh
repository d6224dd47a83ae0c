#!/usr/bin/env bash
# Breaks the code in one place after the other with cargo-mutants, and expects the tests to notice
# each. Fails if they miss one that tests/mutants.txt does not list with a reason.
#
# The unit tests come first, because they are fast. What they miss is tried again with the promises
# of connections and servers. Without arguments, it takes the files of the engine, which is many
# hours of work. With FILEs, it takes only those; with a SHARD, as `0/24`, only a part.
# Installs cargo-mutants into target/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

usage="usage: tests/scripts/mutants.sh [SHARD/SHARDS] [FILE...]"
shard=() of=""
if [[ "${1:-}" =~ ^[0-9]+/[0-9]+$ ]]; then
  shard=(--shard "$1" --sharding round-robin)
  of=" of shard $1"
  shift
fi
files=("$@")
((${#files[@]})) || files=(wsx/src/{wire,connection,task}/'**/*.rs' wsx/src/server/{admission,places}.rs)
picked=()
for file in "${files[@]}"; do
  [[ "$file" == wsx/src/*.rs ]] || fail "$usage"
  picked+=(--file "$file")
done
need_tool cargo-mutants 27.1.0 mutants
export CARGO_PROFILE_DEV_DEBUG=0

results="$PWD/target/mutants"
rm -rf "$results"
mkdir -p "$results"

# mutate ARGUMENT...: runs cargo-mutants, for which a mutant that survives (2) or hangs (3) is an
# error.
mutate() {
  local status=0
  cargo mutants --package wsx --all-features "${picked[@]}" "${shard[@]}" --output "$results" \
    --cap-lints true --timeout 120 --build-timeout 600 --no-times --colors never "$@" >"$results/log.txt" 2>&1 ||
    status=$?
  [[ "$status" == [023] ]] || { tail --lines=30 "$results/log.txt"; fail "cargo mutants failed; its last words are above"; }
}
# count LIST: the number of mutants in a list of the last run.
count() { wc --lines <"$results/mutants.out/$1.txt"; }

mutate -- --lib
total="$(cargo mutants --list --package wsx "${picked[@]}" "${shard[@]}" 2>/dev/null | wc --lines)"
((total > 0)) || fail "these files have no mutants"
missed_first="$(count missed)"
# A hanging test noticed its mutant, so only what was missed is tried again.
((missed_first == 0)) ||
  mutate --iterate --test-package wsx --test-package wsx-tests -- --test connection --test server

unknown=0
while IFS= read -r mutant; do
  if ! grep --quiet --fixed-strings "$mutant | " tests/mutants.txt; then
    echo "not noticed: $mutant"
    unknown=$((unknown + 1))
  fi
done < <(sed --regexp-extended 's/:[0-9]+:[0-9]+: /: /' "$results/mutants.out/missed.txt")
((unknown == 0)) || fail "$unknown mutants are neither noticed by a test nor listed in tests/mutants.txt"
echo "mutants$of: $total, of which $missed_first passed the unit tests and $(count missed) are listed; nothing else was missed"
