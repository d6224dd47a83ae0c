#!/usr/bin/env bash
# Two networks on this machine, joined by a cable of 256 kbit/s that loses packets: row R7 of the
# specification, by `tests/programs/weak_links_campaign.rs`. The argument is the number of messages
# in each direction. The default is 100,000, which take about five minutes: 50 bytes each at 32,000
# bytes a second, of which a fifth is lost.
#
# Needs root, and a kernel that allows new networks (CAP_SYS_ADMIN and CAP_NET_ADMIN). Installs
# everything else that it needs. The networks are deleted at the end, also after an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

messages="${1:-100000}"
server="wsx-server-$$"
client="wsx-client-$$"

clean_up() {
  ip netns delete "$server" 2>/dev/null || true
  ip netns delete "$client" 2>/dev/null || true
}

[[ "$(id -u)" == 0 ]] || fail "this needs root because it makes networks: run it with sudo"
need_packages iproute2 iptables
cargo build --locked --release --package wsx-tests --bin weak_links_campaign

trap clean_up EXIT
ip netns add "$server" || fail "this kernel or container does not allow new networks (CAP_SYS_ADMIN, CAP_NET_ADMIN)"
ip netns add "$client"
# Both ends are made inside, so that the machine's own network is not touched. 192.0.2.0/24 is
# reserved for such uses (RFC 5737).
ip -n "$server" link add cable type veth peer name cable netns "$client"
number=1
for network in "$server" "$client"; do
  ip -n "$network" link set lo up
  ip -n "$network" address add "192.0.2.$number/24" dev cable
  ip -n "$network" link set cable up
  # The length of the cable's queue, in milliseconds.
  tc -n "$network" qdisc add dev cable root tbf rate 256kbit burst 3200 latency 400ms
  number=$((number + 1))
done
target/release/weak_links_campaign --messages "$messages" --networks "$server" "$client"
