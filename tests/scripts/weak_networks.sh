#!/usr/bin/env bash
# Two networks of this machine, joined by a cable of 256 kbit/s, in which packets get lost: row R7
# of the specification, by `tests/programs/weak_links_campaign.rs`. Takes the number of messages in
# each direction, by default 100,000, which take some five minutes: 50 bytes each, at 32,000 bytes a
# second, of which a fifth is lost.
#
# Installs what it needs; tests/scripts/networks.sh says what it cannot install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh
# shellcheck source=SCRIPTDIR/networks.sh
source tests/scripts/networks.sh

tests/scripts/campaigns.sh
make_networks 256
target/campaign/weak_links_campaign --messages "${1:-100000}" --networks "$server" "$client"
