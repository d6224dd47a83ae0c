#!/usr/bin/env bash
# Every order of events between a sender and a receiver of kept messages, with at most so many
# faults, 1 unless given as the first argument: links that break, programs that are killed between
# two writes, commits that fail, and older copies of a store. Rows G3, G4, G7, G8, G9, G12 of the
# specification. Two faults are 25 million states, in 15 minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export WSX_MODEL_FAULTS="${1:-1}"
mkdir -p target
said="$PWD/target/delivery-model.txt"
# In one thread, because the states of two models may not fit into memory.
cargo test --locked --package wsx-rs --no-default-features --features client,server --lib --profile campaign -- delivery::model_tests --nocapture --test-threads 1 | tee "$said"
awk -v faults="$WSX_MODEL_FAULTS" '
  match($0, /faults: [0-9]+ states$/) { models += 1; states += substr($0, RSTART + 8) }
  END {
    printf "%d models passed, in %d states with at most %d faults\n", models, states, faults
    exit models == 0
  }
' "$said"
