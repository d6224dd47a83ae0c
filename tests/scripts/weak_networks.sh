#!/usr/bin/env bash
# Two networks of this machine, joined by a cable of 256 kbit/s, in which packets get lost: row R7
# of the specification, by `tests/programs/weak_links_campaign.rs`. Takes the number of messages in
# each direction, by default 100,000, which take some five minutes: 50 bytes each, at 32,000 bytes a
# second, of which a fifth is lost.
#
# Needs root, and a kernel that lets it make networks (CAP_SYS_ADMIN and CAP_NET_ADMIN); installs
# what else it needs. The networks go with it, however it ends.
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

[[ "$(id -u)" == 0 ]] || fail "this needs root, as it makes networks: run it with sudo"
need_packages iproute2 iptables
tests/scripts/campaigns.sh

trap clean_up EXIT
ip netns add "$server" || fail "this kernel, or this container, lets nobody make networks (CAP_SYS_ADMIN, CAP_NET_ADMIN)"
ip netns add "$client"
# Both ends are made inside, so that the machine's own network sees none of it; 192.0.2.0/24 is kept
# for such (RFC 5737).
ip -n "$server" link add cable type veth peer name cable netns "$client"
number=1
for network in "$server" "$client"; do
  ip -n "$network" link set lo up
  ip -n "$network" address add "192.0.2.$number/24" dev cable
  ip -n "$network" link set cable up
  # Bytes that wait in the cable's queue: so many milliseconds' worth.
  tc -n "$network" qdisc add dev cable root tbf rate 256kbit burst 3200 latency 400ms
  number=$((number + 1))
done
target/campaign/weak_links_campaign --messages "$messages" --networks "$server" "$client"
