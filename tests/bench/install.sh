#!/usr/bin/env bash
# Installs the benchmark's peers that are not Rust crates: Go and gorilla/websocket from Debian, and
# npm's ws, which the interoperation tests pin and install. Keeps what is installed already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=SCRIPTDIR/../scripts/packages.sh
source ./scripts/packages.sh

./scripts/install.sh
need_packages golang-go golang-github-gorilla-websocket-dev
