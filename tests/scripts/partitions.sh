#!/usr/bin/env bash
# A cluster of three nodes in networks of this machine. The cables, the processes and NATS fail at
# random, by `tests/cluster/partitions`. Takes the seconds of faults, by default 600, and the seed,
# by default the time.
#
# Needs root, and a kernel that lets it make networks (CAP_SYS_ADMIN and CAP_NET_ADMIN). The
# networks go with the script, however it ends. Installs what it needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

prefix="wsx-parts-$$"
# As `Member::address` of the program has it.
members=(nats=1 node0=11 node1=12 node2=13 boxes0=21 boxes1=22)

clean_up() {
  local name
  for name in switch "${members[@]%=*}"; do
    # A paused process does not end by itself.
    ip netns pids "$prefix-$name" 2>/dev/null | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
    ip netns delete "$prefix-$name" 2>/dev/null || true
  done
}

[[ "$(id -u)" == 0 ]] || fail "this needs root, as it makes networks: run it with sudo"
need_packages iproute2 iptables nats-server
tests/scripts/campaigns.sh
trap clean_up EXIT
ip netns add "$prefix-switch" ||
  fail "this kernel, or this container, lets nobody make networks (CAP_SYS_ADMIN, CAP_NET_ADMIN)"
ip -n "$prefix-switch" link add name switch type bridge
ip -n "$prefix-switch" link set switch up
for member in "${members[@]}"; do
  name="${member%=*}"
  ip netns add "$prefix-$name"
  # All is made inside, so that the machine's own network sees none of it; 192.0.2.0/24 is kept for
  # such (RFC 5737).
  ip -n "$prefix-$name" link add name cable type veth peer name "$name" netns "$prefix-switch"
  ip -n "$prefix-$name" link set lo up
  ip -n "$prefix-$name" address add "192.0.2.${member#*=}/24" dev cable
  ip -n "$prefix-$name" link set cable up
  ip -n "$prefix-switch" link set "$name" master switch up
done
target/campaign/cluster_partitions --networks "$prefix" --for "${1:-600}" ${2:+--seed "$2"}
