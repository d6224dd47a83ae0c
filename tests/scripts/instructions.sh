#!/usr/bin/env bash
# Counts the instructions of the engine's parts under callgrind, and fails when one passes its
# budget; see tests/costs/instructions.rs. Row S7 of the specification: the cost of a label.
# Installs valgrind and the runner, which must be of the same version as the crate.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

command -v valgrind >/dev/null || need_packages valgrind
need_tool gungraun-runner "$(sed --quiet --regexp-extended 's/^gungraun = "=(.*)"$/\1/p' Cargo.toml)"
GUNGRAUN_RUNNER="$PWD/target/tools/bin/gungraun-runner" cargo bench --locked --package wsx-costs --bench instructions "$@"
