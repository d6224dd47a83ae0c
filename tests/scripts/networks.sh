# Sourced by the scripts beside it: two networks of this machine, `$server` and `$client`, joined by
# a cable. Needs root, and a kernel that lets it make networks (CAP_SYS_ADMIN and CAP_NET_ADMIN).
# The networks go with the script, however it ends.
# shellcheck shell=bash

server="wsx-server-$$"
client="wsx-client-$$"

clean_up() {
  ip netns delete "$server" 2>/dev/null || true
  ip netns delete "$client" 2>/dev/null || true
}

# make_networks RATE: a cable of this many kbit/s.
make_networks() {
  [[ "$(id -u)" == 0 ]] || fail "this needs root, as it makes networks: run it with sudo"
  need_packages iproute2 iptables
  trap clean_up EXIT
  ip netns add "$server" ||
    fail "this kernel, or this container, lets nobody make networks (CAP_SYS_ADMIN, CAP_NET_ADMIN)"
  ip netns add "$client"
  # Both ends are made inside, so that the machine's own network sees none of it; 192.0.2.0/24 is
  # kept for such (RFC 5737).
  ip -n "$server" link add cable type veth peer name cable netns "$client"
  local number=1 network
  for network in "$server" "$client"; do
    ip -n "$network" link set lo up
    ip -n "$network" address add "192.0.2.$number/24" dev cable
    ip -n "$network" link set cable up
    # Bytes that wait in the cable's queue: so many milliseconds' worth.
    tc -n "$network" qdisc add dev cable root tbf rate "$1kbit" burst 3200 latency 400ms
    number=$((number + 1))
  done
}
