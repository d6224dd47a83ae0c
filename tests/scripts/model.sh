#!/usr/bin/env bash
# Checks the wake-ups of a connection with a model checker: every order of its threads with at most
# this many preemptions, 3 unless given as the first argument. Built in a directory of its own,
# because the checker's lock then replaces std's.
# Row R11 of the specification.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

preemptions="${1:-3}"
export RUSTFLAGS="--cfg wsx_model -D warnings" CARGO_TARGET_DIR="$PWD/target/model" LOOM_MAX_PREEMPTIONS="$preemptions"
mkdir -p target/model
log="$PWD/target/model/log.txt"
# In one thread, so that the output of tests does not mix.
cargo test --locked --package wsx --no-default-features --lib --release -- task::model --nocapture --test-threads 1 | tee "$log"
awk -v preemptions="$preemptions" '
  match($0, /orders: [0-9]+$/) { tests += 1; orders += substr($0, RSTART + 8) }
  END {
    printf "%d tests of the wake-ups passed, in %d orders with at most %d preemptions\n", tests, orders, preemptions
    exit tests == 0
  }
' "$log"
