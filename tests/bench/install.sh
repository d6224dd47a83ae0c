#!/usr/bin/env bash
# Installs the benchmark's peers that are no Rust crates: Go and gorilla/websocket from Debian, and npm's ws, which the
# interoperation tests pin and install. What is there already stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=SCRIPTDIR/../scripts/packages.sh
source ./scripts/packages.sh

./scripts/install.sh
need_packages golang-go golang-github-gorilla-websocket-dev
