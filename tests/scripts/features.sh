#!/usr/bin/env bash
# Lints wsx with sets of its features: row A1 of the specification. Whatever three of the lines
# below choose, one of these sets has it. All sets would be thousands, and take hours.
#
# It takes some minutes; tests/run.sh has the sets that programs use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

# Each line has the choices of which a set has at most one: a later choice of a line includes the
# earlier ones. `nats` includes `server`, but not `hyper`, so it has a line of its own.
choices=(
  "server hyper axum"
  "client proxy"
  macros
  "versions contract"
  metrics
  nats
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

# The next set is the one that has the most of what is missing.
mapfile -t sets < <(python3 - "${choices[@]}" <<'END'
import sys
from itertools import combinations, product

lines = [["", *line.split()] for line in sys.argv[1:]]
# A bit for each three of the choices, and every set with its bits.
bits, sets = {}, []
for chosen in product(*lines):
    threes = sum(1 << bits.setdefault(three, len(bits)) for three in combinations(enumerate(chosen), 3))
    sets.append((threes, ",".join(filter(None, chosen))))
missing = (1 << len(bits)) - 1
while missing:
    threes, names = max(sets, key=lambda one: (one[0] & missing).bit_count())
    missing &= ~threes
    print(names)
END
)
((${#sets[@]})) || fail "there are no sets"
for set in "${sets[@]}" testing; do
  quietly cargo clippy --locked --package wsx-rs --no-default-features --features "$set" -- -D warnings ||
    fail "wsx with features: ${set:-none}: the words of cargo are above"
done
echo "features: wsx builds without a warning with each of $((${#sets[@]} + 1)) sets"
