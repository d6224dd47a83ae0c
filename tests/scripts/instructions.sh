#!/usr/bin/env bash
# Counts the instructions of the engine's parts under callgrind, and fails when one passes its
# budget; see tests/costs/instructions.rs. Installs valgrind and the runner, which must be of the
# same version as the crate.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

command -v valgrind >/dev/null || need_packages valgrind
version="$(sed --quiet --regexp-extended 's/^gungraun = "=(.*)"$/\1/p' Cargo.toml)"
tools="$PWD/target/tools"
if [[ "$("$tools/bin/gungraun-runner" --version 2>/dev/null)" != *"$version"* ]]; then
  echo "installing gungraun-runner $version into target/tools"
  quietly cargo install --locked --root "$tools" --version "=$version" gungraun-runner ||
    fail "cargo install gungraun-runner failed; its own words are above"
fi
GUNGRAUN_RUNNER="$tools/bin/gungraun-runner" cargo bench --locked --package wsx-costs --bench instructions "$@"
