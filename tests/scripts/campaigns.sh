#!/usr/bin/env bash
# Builds the programs of all campaigns into target/campaign. One command, so that what they share is
# built once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

cargo build --locked --profile campaign --package wsx-examples --bin echo --bin fleet \
  --package wsx-cluster-tests --bin cluster_partitions --bin cluster_scale \
  --package wsx-tests --bin subject \
  --package wsx-programs --bin abuse --bin backlog --bin conformance_client --bin delivery_speed \
  --bin kept_return --bin mass_return --bin mass_shutdown --bin names --bin slow_links --bin store \
  --bin weak_links_campaign
