#!/usr/bin/env bash
# A compiler for cargo (`RUSTC_WRAPPER`) that counts the covered code of the crates that the fuzzer
# is to explore: wsx, the targets with their readers, the parsers that get a peer's bytes, and the
# browser's parser beside them. The runtime is left out. Its timers would take half of the time, and
# its states would fill the corpus.
set -euo pipefail
coverage=()
if [[ " $* " =~ " --crate-name "(wsx|wsx_fuzz|http|httparse|serde_json|url|zlib_rs)" " ]]; then
  coverage=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    # Two branches with the same code stay two.
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    -Ccodegen-units=1
  )
fi
exec "$@" "${coverage[@]}"
