#!/usr/bin/env bash
# Names with a dead address, a silent name server, and an address with a zone: rows K11 and K14 of
# the specification, by `tests/programs/names.rs`. Runs in a network and with a name server of its
# own. Takes a few seconds.
#
# Installs what it needs; tests/scripts/networks.sh says what it cannot install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

name=station.test
dead=127.0.0.2
live=127.0.0.3

# names ARGUMENT...: ends a program that does not end by itself.
names() {
  timeout --kill-after=1s 30s target/campaign/names "$@" || fail "names $*: failed with status $?"
}

inside() {
  ip link set lo up
  printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:5\n' >"$folder/resolv.conf"
  echo 'hosts: files dns' >"$folder/nsswitch.conf"
  mount --bind "$folder/resolv.conf" /etc/resolv.conf
  mount --bind "$folder/nsswitch.conf" /etc/nsswitch.conf

  names silent "$name"

  ip -6 address add fe80::7/64 dev lo nodad
  names zone fe80::7 lo

  dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --no-round-robin --pid-file \
    --user="$(id -un)" --listen-address=127.0.0.1 --host-record="$name,$dead" --host-record="$name,$live" &
  local name_server=$!
  # The variable is gone when the trap runs.
  # shellcheck disable=SC2064
  trap "kill $name_server" EXIT
  until getent hosts "$name" >/dev/null; do
    kill -0 "$name_server" || fail "dnsmasq has ended; its own words are above"
    sleep 0.1
  done
  # In both orders, so that the dead address is once the first.
  local one other swap
  one=$dead other=$live
  for swap in first second; do
    iptables --insert INPUT --destination "$one" --jump DROP
    names dead "$name" "$one" "$other"
    iptables --delete INPUT --destination "$one" --jump DROP
    one=$live other=$dead
  done
}

if [[ "${1:-}" == inside ]]; then
  folder="$2"
  inside
  exit
fi
[[ "$(id -u)" == 0 ]] || fail "this needs root, as it makes a network: run it with sudo"
need_packages iproute2 iptables dnsmasq-base
tests/scripts/campaigns.sh
folder="$(mktemp --directory)"
trap 'rm -rf "$folder"' EXIT
unshare --net --mount tests/scripts/names.sh inside "$folder" ||
  fail "names: failed; if it did not begin: this kernel, or this container, lets nobody make networks (CAP_SYS_ADMIN)"
