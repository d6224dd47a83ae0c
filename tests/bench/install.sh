#!/usr/bin/env bash
# Installs the benchmark's peers that are not Rust crates: Go, gorilla/websocket and mosquitto from
# Debian, npm's ws, which the interoperation tests pin and install, and npm's socket.io. Keeps what
# is installed already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=SCRIPTDIR/../scripts/packages.sh
source ./scripts/packages.sh

./scripts/install.sh
need_packages golang-go golang-github-gorilla-websocket-dev mosquitto

cd bench
# Installed means: from the very file that is here now.
if ! cmp --silent package-lock.json node_modules/installed.json; then
  echo "installing npm packages into tests/bench/node_modules: those of package-lock.json"
  quietly npm ci || fail "npm ci failed in tests/bench; its own words are above"
  cp package-lock.json node_modules/installed.json
fi
