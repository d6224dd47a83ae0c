#!/usr/bin/env bash
# Installs what the tests need beside Rust: squid, microsocks, HAProxy, nginx, OpenSSL and the NATS
# server from Debian, Chromium, and the packages of Python and npm, at the versions that are pinned
# in tests/interop and tests/web. What is there already stays; what is installed is told in one
# line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=SCRIPTDIR/packages.sh
source ./packages.sh

need_command cargo "install Rust with rustup, at least in the version that Cargo.toml names"
cargo fmt --version >/dev/null 2>&1 || fail "cargo fmt is missing: run 'rustup component add rustfmt'"
cargo clippy --version >/dev/null 2>&1 || fail "cargo clippy is missing: run 'rustup component add clippy'"
need_command python3 "install Python 3.11 or later (Debian package python3)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "python3 does not run, or is older than 3.11: install a later one (Debian package python3)"
need_command node "install Node.js 20 or later (Debian package nodejs)"
need_command npm "install npm (Debian package npm)"
# The proxies of tests/tls.
[[ -x /usr/sbin/squid ]] && command -v microsocks >/dev/null || need_packages squid microsocks
# The linker of every Rust program.
command -v cc >/dev/null || need_packages gcc libc6-dev
# The proxies and load balancers of docs/deployment.md, and the commands of docs/howto/tls.md.
need_packages haproxy nginx openssl
# The server that joins hubs. Those of tests/cluster start it themselves.
need_packages nats-server
# The browser of tests/web.
need_packages chromium
# Every package of the lock file, for every system: a test reads the dependencies offline.
quietly cargo fetch --locked || fail "cargo fetch failed; its own words are above"

cd ../interop

# Installed means: from the very file that is here now.
if ! cmp --silent requirements.txt .venv/installed.txt || ! .venv/bin/python -c 'import websockets' 2>/dev/null; then
  echo "installing Python packages into tests/interop/.venv: $(paste --serial --delimiters=' ' requirements.txt)"
  # Debian's Python has the module `venv` in it, but not what the module copies into each
  # environment.
  python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
  rm -rf .venv
  quietly python3 -m venv .venv || fail "python3 -m venv failed; its own words are above"
  quietly .venv/bin/python -m pip install --requirement requirements.txt ||
    fail "pip could not install tests/interop/requirements.txt; its own words are above"
  cp requirements.txt .venv/installed.txt
fi

# Both folders have packages of npm. Those of tests/web drive the browser below.
for folder in interop web; do
  cd "../$folder"
  if ! cmp --silent package-lock.json node_modules/installed.json; then
    echo "installing npm packages into tests/$folder/node_modules: those of package-lock.json"
    quietly npm ci || fail "npm ci failed in tests/$folder; its own words are above"
    cp package-lock.json node_modules/installed.json
  fi
done
