#!/usr/bin/env bash
# The campaigns that take too long for every change: one after the other, and none is left out
# because another has failed. Each ends with a line that has its figures; the last lines repeat them
# all. Works from any directory, on a fresh Debian 12 with Rust.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=SCRIPTDIR/scripts/packages.sh
source tests/scripts/packages.sh

mkdir -p target
# What the current step has said.
said="$PWD/target/long-step.txt"
summary=()
failed=0

# step NAME COMMAND...: announces a campaign, runs it, and keeps its last line. One that hangs is
# ended, after an hour unless `limit` says otherwise.
step() {
  local start=$SECONDS name="$1" verdict="passed"
  shift
  echo "== $name"
  if ! timeout --kill-after=10s "${limit:-60m}" "$@" 2>&1 | tee "$said"; then
    verdict="FAILED"
    failed=$((failed + 1))
  fi
  summary+=("$verdict, $((SECONDS - start)) s: $name: $(tail --lines=1 "$said")")
}

step "wake-ups" tests/scripts/model.sh 5
# Every order of the events of kept messages. Two faults take 10 GB of memory.
step "kept messages" tests/scripts/delivery_model.sh 2
step "simulation of 1,000 seeds" tests/scripts/simulation.sh 0..1000
# Thirteen targets, two at a time.
step "fuzzing" tests/scripts/fuzz.sh 600
step "dependencies" tests/scripts/dependencies.sh
step "smallest profile" tests/scripts/profiles.sh
step "oldest dependencies" tests/scripts/minimal_versions.sh
step "sets of features" tests/scripts/features.sh
step "other processors" tests/scripts/targets.sh
# All of `wire`, `connection`, `task` and the admission: about 1,600 mutants. One takes 5 s on two
# free cores, and a minute if the unit tests miss it. So the step takes three hours or more.
limit=12h step "mutants" tests/scripts/mutants.sh
# Ten thousand connections need as many descriptors at each end.
ulimit -S -n "$(ulimit -H -n)"

tests/scripts/campaigns.sh
step "shutdown of 10,000 clients" target/campaign/mass_shutdown --clients 10000
step "return of 5,000 clients" target/campaign/mass_return --clients 5000 --outage 10
step "return of 5,000 clients at a rate" target/campaign/mass_return --clients 5000 --outage 10 --rate 200
step "return of 5,000 boxes with 1,000 kept messages each" target/campaign/kept_return --boxes 5000 --messages 1000
step "return of 5,000 boxes to a full mailbox" target/campaign/kept_return --boxes 5000 --messages 100 --to-boxes
step "10,000 kills and 20,000 power losses" tests/scripts/store.sh 10000 20000
step "weak links, 100,000 messages for each fault" target/campaign/weak_links_campaign --messages 100000
step "an hour of backlog at 64 kbit/s" target/campaign/backlog
step "speed of kept messages" target/campaign/delivery_speed
step "pulled plugs, 10 minutes" target/campaign/fleet --pull-the-plug --for 600s --meters 5
# Needs root and a kernel that allows namespaces, mounts and control groups of one's own.
step "systemd and container" tests/scripts/deployment.sh
# Needs root, for the networks that it makes.
step "weak networks, 100,000 messages" tests/scripts/weak_networks.sh 100000
step "slow links, 300 KB at 10 to 64 kbit/s" tests/scripts/slow_links.sh
step "a cluster of 100,000 connections" target/campaign/cluster_scale --nodes 6 --connections 100000
step "partitions of a cluster, 10 minutes" tests/scripts/partitions.sh 600
for campaign in floods declared json codes readers churn bombs; do
  step "abuse: $campaign" target/campaign/abuse --echo target/campaign/echo --subject target/campaign/subject --only "$campaign"
done

printf '%s\n' "${summary[@]}"
if ((failed > 0)); then
  echo "tests/long.sh: $failed FAILED of ${#summary[@]} in $SECONDS s"
  exit 1
fi
echo "tests/long.sh: all ${#summary[@]} passed in $SECONDS s"
