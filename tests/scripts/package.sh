#!/usr/bin/env bash
# Packs both library crates as `cargo publish` does, builds them from their packed files, and checks
# their metadata and the files around their sources: row A2 of the specification.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

version="$(sed --quiet 's/^version = "\(.*\)"$/\1/p' Cargo.toml)"
crates=(wsx-rs wsx-macros)
quietly cargo package --locked --allow-dirty "${crates[@]/#/--package=}" ||
  fail "cargo package failed; its own words are above"

for crate in "${crates[@]}"; do
  packed="target/package/$crate-$version"
  rm -rf "$packed.files"
  mkdir -p "$packed.files"
  tar --extract --file "$packed.crate" --directory "$packed.files" --strip-components 1
  for licence in LICENSE-APACHE LICENSE-MIT; do
    cmp --silent "$licence" "$packed.files/$licence" || fail "$crate: the packed crate has no $licence, or another one"
  done
  [[ -s "$packed.files/README.md" ]] || fail "$crate: the packed crate has no README.md"
  for key in categories description documentation keywords license readme rust-version; do
    grep --quiet "^$key = " "$packed.files/Cargo.toml" || fail "$crate: its manifest has no '$key'"
  done
  strays="$(cd "$packed.files" && find . -type f ! -path './src/*.rs' ! -path './src/contract/export/*.[jt]s' ! -name 'Cargo.*' ! -name 'LICENSE-*' \
    ! -name build.rs ! -name README.md ! -name .cargo_vcs_info.json)"
  [[ -z "$strays" ]] || fail "$crate: these files do not belong into the packed crate: $strays"
done
# The macros are of the same version, so they are packed and published first.
grep --quiet --after-context 1 '^\[dependencies.wsx-macros\]' "target/package/wsx-rs-$version.files/Cargo.toml" ||
  fail "wsx-rs: the packed manifest does not depend on wsx-macros"
grep --quiet "^version = \"=$version\"$" "target/package/wsx-rs-$version.files/Cargo.toml" ||
  fail "wsx-rs: the packed manifest does not ask for wsx-macros =$version"
echo "packages: ${crates[*]} $version have their metadata, licences and READMEs, and build by themselves"
