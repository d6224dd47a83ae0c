#!/usr/bin/env bash
# Builds wsx and its macros with the oldest versions that their manifests accept of each direct
# dependency, so that a lower bound is one that works.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

# A copy, because the versions go into a lock file. The other packages of the workspace would take
# part in the choice of versions.
copy="$PWD/target/minimal-versions"
mkdir -p "$copy"
rm -rf "$copy"/{Cargo.toml,Cargo.lock,wsx,wsx-macros}
cp -r wsx wsx-macros README.md LICENSE-* clippy.toml rust-toolchain.toml "$copy"
python3 - "$copy/Cargo.toml" <<'END'
import re, sys
text = open("Cargo.toml").read()
text = re.sub(r"(?s)members = \[.*?\]", 'members = ["wsx", "wsx-macros"]', text, count=1)
open(sys.argv[1], "w").write(text)
END
cd "$copy"
# The option is unstable. RUSTC_BOOTSTRAP lets the stable cargo accept it.
RUSTC_BOOTSTRAP=1 quietly cargo update -Z direct-minimal-versions ||
  fail "no versions fit together: a manifest asks for an older version than another dependency needs"
quietly cargo check --locked --workspace --all-features ||
  fail "wsx does not build with these versions: raise a lower bound in Cargo.toml"
echo "oldest dependencies: wsx builds with $(cargo tree --locked --package wsx-rs --all-features --depth 1 --edges normal --prefix none --format '{p}' |
  sed '1d; s/ v/ /; s/ (.*//' | sort --unique | grep --count .) dependencies at their oldest versions"
