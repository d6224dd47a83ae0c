#!/usr/bin/env bash
# The campaigns that take too long for every change, one after the other. A failure does not skip
# the others. The last line of each has its figures, and the last lines of the output repeat them
# all. Works from any directory, on a fresh Debian 12 with Rust.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=SCRIPTDIR/scripts/packages.sh
source tests/scripts/packages.sh

mkdir -p target
# The output of the current step.
said="$PWD/target/long-step.txt"
summary=()
failed=0

# step NAME COMMAND...: announces a campaign, runs it, and keeps its last line. A campaign that
# hangs is killed.
step() {
  local start=$SECONDS name="$1" verdict="passed"
  shift
  echo "== $name"
  if ! timeout --kill-after=10s 60m "$@" 2>&1 | tee "$said"; then
    verdict="FAILED"
    failed=$((failed + 1))
  fi
  summary+=("$verdict, $((SECONDS - start)) s: $name: $(tail --lines=1 "$said")")
}

step "wake-ups" tests/scripts/model.sh 5
step "simulation of 1,000 seeds" tests/scripts/simulation.sh 0..1000
step "fuzzing" tests/scripts/fuzz.sh 600
# Ten thousand connections need as many descriptors at each end.
ulimit -S -n "$(ulimit -H -n)"

step "shutdown of 10,000 clients" \
  cargo run --locked --release --quiet --package wsx-tests --bin mass_shutdown -- --clients 10000
step "return of 5,000 clients" \
  cargo run --locked --release --quiet --package wsx-tests --bin mass_return -- --clients 5000 --outage 10
step "weak links, 100,000 messages for each fault" \
  cargo run --locked --release --quiet --package wsx-tests --bin weak_links_campaign -- --messages 100000
# Needs root, for the networks that it makes.
step "weak networks, 100,000 messages" tests/scripts/weak_networks.sh 100000
cargo build --locked --release --quiet --package wsx-examples --bin echo --package wsx-tests --bin abuse --bin subject
for campaign in floods declared json codes readers churn; do
  step "abuse: $campaign" target/release/abuse --echo target/release/echo --subject target/release/subject --only "$campaign"
done

printf '%s\n' "${summary[@]}"
if ((failed > 0)); then
  echo "tests/long.sh: $failed FAILED of ${#summary[@]} in $SECONDS s"
  exit 1
fi
echo "tests/long.sh: all ${#summary[@]} passed in $SECONDS s"
