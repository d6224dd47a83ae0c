#!/usr/bin/env bash
# Compares the public API with its listing, docs/public-api.txt, and prints the lines that differ.
# With `--update` it writes the listing. The listing has all features for users, and leaves out
# items that are `#[doc(hidden)]`. Its words are those of Rust 1.95; another compiler may write some
# differently.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

update=""
case "$*" in
  "") ;;
  --update) update=yes ;;
  *) fail "usage: tests/scripts/public_api.sh [--update]" ;;
esac
listing=docs/public-api.txt
# A directory of its own: RUSTC_BOOTSTRAP makes cargo build dependencies again, and the next build
# in target/ would build them once more.
target="$PWD/target/public-api"
features="$(features_for_users wsx/Cargo.toml)"

# The JSON of rustdoc is unstable. RUSTC_BOOTSTRAP lets the stable compiler write it. Warnings are
# errors in the step that builds the documents, and are left out here.
RUSTC_BOOTSTRAP=1 quietly cargo rustdoc --locked --package wsx-rs --lib --no-default-features \
  --features "$features" --target-dir "$target" -- -Z unstable-options --output-format json --cap-lints allow ||
  fail "rustdoc could not describe the crate; its own words are above"
cargo run --locked --quiet --package wsx-api-listing -- "$target/doc/wsx.json" >"$target/public-api.txt" ||
  fail "the JSON of $(rustc --version) was not read: set public-api in Cargo.toml to a version that reads it"

if [[ -n "$update" ]]; then
  cp "$target/public-api.txt" "$listing"
elif ! diff --unified=0 --label "$listing" --label "the code" "$listing" "$target/public-api.txt"; then
  fail "the public API differs from $listing; if you meant it, run: tests/scripts/public_api.sh --update"
fi
echo "public API: $(wc --lines <"$listing") lines in $listing"
