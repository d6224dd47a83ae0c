#!/usr/bin/env bash
# Autobahn's cases against wsx in both roles: a server (the example `echo`) and a client. PyPI's
# `kosoku` carries the cases for Python 3. Fails unless all of them pass, with those for
# compression. In most of them an end waits for the other one, so three run at the same time. The
# cases for compression compress 11 GB at each end, and each role takes some minutes. Rows R3 and Z8
# of the specification.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

# All cases. 216 of them are for compression.
expected=517
# The longest message of the cases has 16 MiB.
longest=$((64 << 20))
reports="$PWD/target/conformance"
python="$PWD/tests/interop/.venv/bin/python"
kosoku=("$python" "$PWD/tests/interop/conformance.py")

"$python" -c 'import kosoku' 2>/dev/null || tests/scripts/install.sh
tests/scripts/campaigns.sh
rm -rf "$reports"
mkdir -p "$reports"
background=""
# stop: ends the program in the background, which may have ended by itself: the suite does once it
# has written its report.
stop() {
  [[ -z "$background" ]] || kill "$background" 2>/dev/null || true
  background=""
}
trap stop EXIT

# line FILE PATTERN: waits for the line that a program prints when it is ready, and prints what the
# pattern's group has.
line() {
  for _ in {1..100}; do
    sed --quiet --regexp-extended "s|.*$2.*|\1|p" "$1" | grep --max-count=1 . && return
    sleep 0.1
  done
  fail "nothing like '$2' within 10 s in $1"
}

# count ROLE: how the cases went, from the report.
count() {
  [[ -f "$reports/$1/index.json" ]] || {
    tail --lines=20 "$reports/$1.txt"
    fail "there is no report; the suite's last words are above"
  }
  python3 - "$reports/$1/index.json" "$1" "$expected" <<'PYTHON'
import json, sys
path, role, expected = sys.argv[1], sys.argv[2], int(sys.argv[3])
(cases,) = json.load(open(path)).values()
def named(*behaviours):
    return [case for case, result in cases.items() if result["behavior"] in behaviours]
passed = named("OK", "NON-STRICT", "INFORMATIONAL")
skipped = named("UNIMPLEMENTED")
failed = [case for case in cases if case not in passed and case not in skipped]
failed += [case for case in passed if cases[case]["behaviorClose"] not in ("OK", "INFORMATIONAL")]
print(f"conformance as a {role}: {len(passed)} passed, {len(failed)} failed, {len(skipped)} not run")
for case in failed:
    print(f"  {case}: {cases[case]['behavior']}, close {cases[case]['behaviorClose']}")
sys.exit(bool(failed) or len(passed) != expected)
PYTHON
}

target/campaign/echo --listen 127.0.0.1:0 --max-message-size "$longest" --compress --compress-from 0 >"$reports/echo.txt" &
background=$!
url="$(line "$reports/echo.txt" '(ws://[^ ]+)')"
# Its status tells of the cases that need compression too, so only its report counts.
timeout 15m "${kosoku[@]}" --mode fuzzingclient --parallelism 3 --outdir "$reports/server" "$url" >"$reports/server.txt" 2>&1 || true
stop
count server

# An address of this process alone: a port of 127.0.0.1 that is free now may be taken in a moment.
address="127.$((64 + ($$ >> 16))).$(($$ >> 8 & 255)).$(($$ & 255)):9001"
timeout 15m "${kosoku[@]}" --mode fuzzingserver --outdir "$reports/client" "$address" >"$reports/client.txt" 2>&1 &
background=$!
timeout 15m target/campaign/conformance_client "ws://$address" "$longest"
line "$reports/client.txt" '(wrote reports) for' >/dev/null
stop
count client
