#!/usr/bin/env bash
# Server and client through a simulated network that fails, one run for each seed; the seeds are the
# first argument, a number or a range as 0..1000 (0..50 unless given). The last three lines have
# the figures of messages, of requests and of kept messages, whatever the test runner says around
# them. Row R12 of the specification, and the rows of kept messages that name the simulation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

mkdir -p target
said="$PWD/target/simulation.txt"
WSX_SEEDS="${1:-0..50}" cargo test --locked --profile campaign --quiet --package wsx-tests --test simulation -- --nocapture 2>&1 | tee "$said"
grep --only-matching '[0-9]* seeds, .*' "$said"
