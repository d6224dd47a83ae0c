#!/usr/bin/env bash
# Installs the benchmark's peers that are not Rust crates: Go, gorilla/websocket and mosquitto from
# Debian, npm's ws and Python's websockets, which the interoperation tests pin and install, npm's
# socket.io, and Python's socketify, which has uWebSockets in it. Keeps what is installed already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=SCRIPTDIR/../scripts/packages.sh
source ./scripts/packages.sh

./scripts/install.sh
need_packages golang-go golang-github-gorilla-websocket-dev mosquitto libuv1

cd bench
# Installed means: from the very file that is here now.
if ! cmp --silent package-lock.json node_modules/installed.json; then
  echo "installing npm packages into tests/bench/node_modules: those of package-lock.json"
  quietly npm ci || fail "npm ci failed in tests/bench; its own words are above"
  cp package-lock.json node_modules/installed.json
fi
if ! cmp --silent requirements.txt .venv/installed.txt || ! .venv/bin/python -c 'import socketify' 2>/dev/null; then
  echo "installing Python packages into tests/bench/.venv: $(paste --serial --delimiters=' ' requirements.txt)"
  rm -rf .venv
  quietly python3 -m venv .venv || fail "python3 -m venv failed; its own words are above"
  quietly .venv/bin/python -m pip install --requirement requirements.txt ||
    fail "pip could not install tests/bench/requirements.txt; its own words are above"
  cp requirements.txt .venv/installed.txt
fi
