#!/usr/bin/env bash
# Connections, hub, admission and client under a model checker: every order of the threads with at
# most so many preemptions, 3 unless given as the first argument. Built apart, since the checker's
# lock is in the place of std's then. Rows R11, S6 of the specification.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

preemptions="${1:-3}"
export RUSTFLAGS="--cfg wsx_model -D warnings" CARGO_TARGET_DIR="$PWD/target/model" LOOM_MAX_PREEMPTIONS="$preemptions"
mkdir -p target/model
said="$PWD/target/model/said.txt"
# In one thread, so that no test's words stand in the middle of another's.
cargo test --locked --package wsx-rs --no-default-features --features client,server --lib --profile campaign -- loom_tests --nocapture --test-threads 1 | tee "$said"
awk -v preemptions="$preemptions" '
  match($0, /orders: [0-9]+$/) { tests += 1; orders += substr($0, RSTART + 8) }
  END {
    printf "%d models passed, in %d orders with at most %d preemptions\n", tests, orders, preemptions
    exit tests == 0
  }
' "$said"
