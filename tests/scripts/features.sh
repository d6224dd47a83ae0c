#!/usr/bin/env bash
# Lints wsx with every set of its features: row A1 of the specification. Sets that turn on the same
# code, because a feature includes another, are built once.
#
# It takes about half an hour; tests/run.sh has the sets that programs use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

# Each line has the choices of which a set has at most one: a later choice of a line includes the
# earlier ones.
choices=(
  "server hyper axum"
  "client proxy"
  macros
  "versions contract"
  metrics
  outbox
  deflate
  rustls
  tracing
  tungstenite
)
known="$(printf '%s\n' "${choices[@]}" | tr ' ' '\n' | sort)"
# `testing` is for tests. It includes both ends, and gets one set of its own below.
named="$(python3 -c '
import tomllib
names = tomllib.load(open("wsx/Cargo.toml", "rb"))["features"]
print("\n".join(sorted(name for name in names if not name.startswith("__") and name not in ("default", "testing"))))')"
[[ "$known" == "$named" ]] || fail "the features of wsx/Cargo.toml are not those of this script: name the new one here"

sets=("")
for line in "${choices[@]}"; do
  longer=()
  for set in "${sets[@]}"; do
    longer+=("$set")
    for choice in $line; do longer+=("${set:+$set,}$choice"); done
  done
  sets=("${longer[@]}")
done
for set in "${sets[@]}" testing; do
  quietly cargo clippy --locked --package wsx-rs --no-default-features --features "$set" -- -D warnings ||
    fail "wsx with features: ${set:-none}: the words of cargo are above"
done
echo "features: wsx builds without a warning with each of $((${#sets[@]} + 1)) sets"
