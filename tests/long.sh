#!/usr/bin/env bash
# The long campaigns, which `tests/run.sh` runs in short: one after the other, each with its figures. Goes on after one that
# fails, and fails then. Needs root, for the networks that it makes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

summary=()
failed=0

# step NAME COMMAND...: announces a campaign, runs it, and says how long it took. One that hangs is ended.
step() {
  local start=$SECONDS name="$1" verdict=passed
  shift
  echo "== $name"
  timeout --kill-after=10s 60m "$@" || {
    verdict="FAILED (exit status $?)"
    failed=1
  }
  summary+=("$name: $verdict in $((SECONDS - start)) s")
}

step "weak links, 100,000 messages for each fault" \
  cargo run --locked --release --package wsx-tests --bin weak_links_campaign -- --messages 100000
step "weak networks, 100,000 messages" tests/weak_networks.sh 100000

printf '%s\n' "${summary[@]}"
exit "$failed"
