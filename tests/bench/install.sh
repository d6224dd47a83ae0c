#!/usr/bin/env bash
# Installs the benchmark's peers that are not Rust crates: Go, gorilla/websocket, mosquitto, Redis
# and NATS from Debian, npm's ws and Python's websockets, which the interoperation tests pin and
# install, npm's socket.io, and Python's socketify, which has uWebSockets in it. Builds the node of
# socketioxide, which has many dependencies and so is not in the workspace. Keeps what is installed
# already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=SCRIPTDIR/../scripts/packages.sh
source ./scripts/packages.sh

./scripts/install.sh
need_packages golang-go golang-github-gorilla-websocket-dev mosquitto libuv1

# The benchmark starts these itself. Debian would start a service of each, unless a policy forbids
# it.
policy=/usr/sbin/policy-rc.d
if [[ "$(id -u)" == 0 && ! -e "$policy" ]]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
need_packages redis-server nats-server

echo "building the node of socketioxide in target/bench-socketioxide"
quietly cargo build --release --locked --manifest-path bench/socketioxide/Cargo.toml \
  --target-dir ../target/bench-socketioxide || fail "cargo build failed; its own words are above"

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
