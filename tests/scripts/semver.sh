#!/usr/bin/env bash
# Compares the public API with that of the last release, and lists what breaks its users. Installs
# cargo-semver-checks into target/tools, which takes some minutes.
#
# The last release is the last tag `v…`. While there is none, name a commit to compare with. An
# argument names another commit or tag.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

(($# <= 1)) || fail "usage: tests/scripts/semver.sh [COMMIT]"
if (($# == 1)); then
  base="$1"
else
  base="$(git tag --list 'v*' --sort=-version:refname | head --lines=1)"
  [[ -n "$base" ]] || fail "there is no tag of a release yet: name a commit to compare with"
fi
git rev-parse --quiet --verify "$base^{commit}" >/dev/null || fail "'$base' is not a commit or a tag"
need_tool cargo-semver-checks 0.51.0 semver-checks

# Only the documentation tool of the nightly compiler writes JSON.
describe() {
  local features
  features="$(features_for_users "$1/wsx/Cargo.toml")"
  RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$semver/target" quietly cargo rustdoc --locked --manifest-path "$1/wsx/Cargo.toml" \
    --lib --no-default-features --features "$features" -- -Z unstable-options --output-format json ||
    fail "cargo rustdoc failed in $1; its own words are above"
  mv "$semver/target/doc/wsx.json" "$semver/$2.json"
}
semver="$PWD/target/semver"
git worktree prune
[[ ! -d "$semver/base" ]] || git worktree remove --force "$semver/base"
mkdir -p "$semver"
quietly git worktree add --detach "$semver/base" "$base" || fail "git could not check out $base; its own words are above"
describe "$semver/base" base
describe "$PWD" current
git worktree remove --force "$semver/base"

verdict=0
cargo semver-checks --baseline-rustdoc "$semver/base.json" --current-rustdoc "$semver/current.json" || verdict=$?
echo "semver: compared with $base; $( ((verdict == 0)) && echo "nothing breaks its users" || echo "see above")"
exit "$verdict"
