#!/usr/bin/env bash
# Two networks of this machine, joined by a very slow cable: rows R1 and V1 of the specification, by
# `tests/programs/slow_links.rs`. Takes the rates in kbit/s, by default 10,24,40,64; the length of
# the message, by default 300,000 bytes; and the seconds between two pings, by default 30. With
# these defaults it takes some eight minutes.
#
# Installs what it needs; tests/scripts/networks.sh says what it cannot install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh
# shellcheck source=SCRIPTDIR/networks.sh
source tests/scripts/networks.sh

tests/scripts/campaigns.sh
make_networks 64
ip netns exec "$client" target/campaign/slow_links "$server" "$client" "${1:-10,24,40,64}" "${2:-300000}" "${3:-30}"
