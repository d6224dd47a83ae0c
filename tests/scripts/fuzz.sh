#!/usr/bin/env bash
# Fuzzes what reads a peer's bytes, and the URLs, origins, heartbeats, stores and compression beside
# it: every target of tests/fuzz, so many seconds each (10 unless said otherwise), as many at a time
# as there are cores. Says how many runs each did. Fails if one breaks a promise, and names the file
# with the bytes that do it. Rows F1, G22, R1, R9, X1 and Z7 of the specification.
#
# With `--runs`, each target does so many runs instead, however long they take. TARGETs choose from
# the targets.
#
# Each target starts from tests/fuzz/seeds, which tests/fuzz/seeds.py writes, and from the inputs in
# tests/fuzz/corpus, which libFuzzer found. New ones stay in target/fuzz/corpus, so that a later run
# goes on from there. With `--minimise`, it runs nothing new, and writes the smallest set of inputs
# with the same coverage into tests/fuzz/corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

usage="usage: tests/scripts/fuzz.sh [SECONDS-PER-TARGET | --runs RUNS-PER-TARGET | --minimise] [TARGET...]"
target="$PWD/target/fuzz"
all=(envelope url origin frames requests http heartbeat answer close store inflate deflate extensions)
case "${1:-}" in
--minimise) bound="" && shift ;;
--runs) bound="-runs=${2:-}" && shift $(($# > 1 ? 2 : 1)) ;;
[0-9]*) bound="-max_total_time=$1" && shift ;;
*) bound="-max_total_time=10" ;;
esac
[[ "$bound" =~ ^(|.*=[1-9][0-9]*)$ ]] || fail "$usage"
targets=("$@")
((${#targets[@]})) || targets=("${all[@]}")
for name in "${targets[@]}"; do
  [[ " ${all[*]} " == *" $name "* ]] || fail "$usage"
done

# libFuzzer is C++.
command -v c++ >/dev/null || need_packages g++

quietly cargo fetch --locked --manifest-path tests/fuzz/Cargo.toml ||
  fail "tests/fuzz/Cargo.lock does not fit the manifests; cargo's words are above"
# Without a sanitizer: wsx has no unsafe code for one to watch, and so the stable compiler will do.
RUSTC_WRAPPER="$PWD/tests/fuzz/rustc.sh" \
  quietly cargo build --locked --release --manifest-path tests/fuzz/Cargo.toml --target-dir "$target/build" ||
  fail "the targets do not build; cargo's words are above"

# inputs NAME: makes the folders of a target's inputs, and sets `corpus`, `kept` and `seeds`.
inputs() {
  corpus="$target/corpus/$1" kept="$target/kept/$1" seeds="tests/fuzz/seeds/$1"
  rm -rf "$kept"
  mkdir -p "$corpus" "$kept"
  [[ ! -f "tests/fuzz/corpus/$1.tar.gz" ]] || tar --extract --gzip --file "tests/fuzz/corpus/$1.tar.gz" --directory "$kept"
}

# fuzz NAME: runs one target, and writes the number of its runs into a file.
fuzz() {
  local name="$1" corpus kept seeds log="$target/$1.txt" words=() start=$SECONDS runs
  inputs "$name"
  [[ ! -f "tests/fuzz/$name.dict" ]] || words=("-dict=tests/fuzz/$name.dict")
  rm -f "$target/$name.runs"
  # A run that takes 10 s hangs, and 1 GiB is far more than any may need.
  "$target/build/release/$name" "$corpus" "$kept" "$seeds" "${words[@]}" "$bound" \
    -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$target/$name-" >"$log" 2>&1 || {
    grep --text --after-context=8 --max-count=1 'panicked at\|ERROR: libFuzzer' "$log" || tail "$log"
    sed --quiet 's/.*Test unit written to /the bytes are in /p' "$log"
    fail "$name: a run broke a promise; its words are above, and all of them in $log"
  }
  runs="$(sed --quiet --regexp-extended 's/^Done ([0-9]+) runs in .*/\1/p' "$log")"
  [[ -n "$runs" && "$runs" -gt 0 ]] || fail "$name: no run is known of; see $log"
  echo "$runs" >"$target/$name.runs"
  echo "fuzz $name: $runs runs in $((SECONDS - start)) s, nothing found"
}

# minimise NAME: writes tests/fuzz/corpus/NAME.tar.gz, the same bytes for the same inputs.
minimise() {
  local name="$1" corpus kept seeds least="$target/least/$1"
  inputs "$name"
  rm -rf "$least"
  mkdir -p "$least" tests/fuzz/corpus
  "$target/build/release/$name" -set_cover_merge=1 -timeout=10 -rss_limit_mb=1024 "$least" "$seeds" "$kept" "$corpus" \
    >"$target/$name.txt" 2>&1 || fail "$name: the inputs cannot be merged; see $target/$name.txt"
  tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 --directory "$least" \
    --files-from <(cd "$least" && find . -type f | LC_ALL=C sort) | gzip --no-name --best >"tests/fuzz/corpus/$name.tar.gz"
  echo "corpus $name: $(find "$least" -type f | wc -l) inputs"
}

if [[ -z "$bound" ]]; then
  for name in "${targets[@]}"; do
    minimise "$name"
  done
  echo "corpus: $(du --apparent-size --summarize --block-size=1K tests/fuzz/corpus | cut --fields=1) KiB"
  exit
fi

# One target has one thread, and all take the same time.
failed="" running=()
# wait_for_one: waits for the target that was started first.
wait_for_one() {
  wait "${running[0]}" || failed=yes
  running=("${running[@]:1}")
}
for name in "${targets[@]}"; do
  ((${#running[@]} < $(nproc))) || wait_for_one
  fuzz "$name" &
  running+=($!)
done
while ((${#running[@]} > 0)); do
  wait_for_one
done
[[ -z "$failed" ]] || fail "fuzzing found something; its words are above"

told=""
for name in "${targets[@]}"; do
  told+="${told:+, }$name $(<"$target/$name.runs")"
done
echo "fuzz runs: $told; nothing found"
