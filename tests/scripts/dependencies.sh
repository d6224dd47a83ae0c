#!/usr/bin/env bash
# Checks the licences, sources and versions of all dependencies against deny.toml, also those of the
# fuzz targets, of the measurement of stores, and of a peer of the benchmark. Installs cargo-deny
# into target/tools, which takes some minutes.
#
# The advisories of RustSec are in a git repository, which this does not clone. With the
# folder of a clone of its advisory-db, this also checks them; without it, it says that it has not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

(($# <= 1)) || fail "usage: tests/scripts/dependencies.sh [CLONE-OF-ADVISORY-DB]"
need_tool cargo-deny 0.20.2

checks=(licenses bans sources)
config="$PWD/deny.toml"
advisories="NOT CHECKED: advisories, for which there is no database here"
if (($# == 1)); then
  # cargo-deny looks for a clone with this name, the hash of the database's address.
  databases="$PWD/target/advisories"
  rm -rf "$databases"
  mkdir -p "$databases"
  quietly git clone "$1" "$databases/advisory-db-3157b0e258782691" || fail "$1 is not a repository"
  config="$PWD/target/deny.toml"
  sed "s|^\[advisories\]|&\ndb-path = \"$databases\"|" deny.toml >"$config"
  checks+=(advisories)
  advisories="advisories of $(git -C "$databases"/* log -1 --format=%cs)"
fi

for manifest in Cargo.toml tests/fuzz/Cargo.toml tests/bench/store/Cargo.toml tests/bench/socketioxide/Cargo.toml; do
  quietly cargo fetch --locked --manifest-path "$manifest" || fail "$manifest: the lock file does not fit it"
  quietly cargo deny --locked --offline --config "$config" --manifest-path "$manifest" check "${checks[@]}" ||
    fail "$manifest: cargo deny found something; its own words are above"
done
echo "dependencies: licenses, bans and sources are fine; $advisories"
