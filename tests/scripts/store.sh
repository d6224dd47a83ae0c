#!/usr/bin/env bash
# The disk store under SIGKILL and power losses, by `tests/programs/store`: row G29 of the
# specification. Takes the number of kills, by default 200, and of power losses, by default 400.
# With these defaults it takes some 30 seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

kills="${1:-200}" losses="${2:-400}"
[[ $# -le 2 && "$kills $losses" =~ ^[0-9]+\ [0-9]+$ ]] || fail "usage: tests/scripts/store.sh [KILLS] [LOSSES]"
# Records what a process writes and syncs.
command -v strace >/dev/null || need_packages strace
cargo build --locked --quiet --profile campaign --package wsx-programs --bin store
# A kill loses nothing of the page cache, and power losses are computed: neither needs a real disk.
folder="${TMPDIR:-/tmp}"
[[ ! -w /dev/shm ]] || folder=/dev/shm
target/campaign/store --kills "$kills" --losses "$losses" --folder "$folder"
