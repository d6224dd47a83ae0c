#!/usr/bin/env bash
# Runs server and client through a simulated network with faults, once for each seed. The seeds are
# the first argument, a number or a range like 0..1000 (0..50 by default). The last line has the
# figures, whatever the test runner prints around them.
# Row R12 of the specification.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

mkdir -p target
log="$PWD/target/simulation.txt"
WSX_SEEDS="${1:-0..50}" cargo test --locked --release --quiet --package wsx-tests --test simulation -- --nocapture 2>&1 | tee "$log"
grep --only-matching '[0-9]* seeds, .*' "$log"
