#!/usr/bin/env bash
# Row M12: a program in the smallest profile, with `opt-level = "z"`, LTO over all crates, one
# codegen unit, `strip` and `panic = "abort"`, has all its handlers and exchanges messages. A panic
# of a handler ends it. The last line has the size of the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target="target/profiles"
cargo build --locked --release --package wsx-linking-profile --target-dir "$target" \
  --config 'profile.release.opt-level="z"' --config 'profile.release.lto="fat"' \
  --config 'profile.release.codegen-units=1' --config 'profile.release.strip=true' \
  --config 'profile.release.panic="abort"'

program="$target/release/linking_profile"
status=0
said="$("$program" 2>/dev/null)" || status=$?
expected="complete: __raw__ health note
open: health note
untyped: plugged
limit: 21"
if [[ "$said" != "$expected" ]]; then
  printf 'the program said:\n%s\n' "$said"
  exit 1
fi
# 128, and the number of SIGABRT.
if ((status != 134)); then
  echo "the program ended with $status, and not by an abort"
  exit 1
fi
echo "the smallest profile holds, in $(($(stat --format %s "$program") / 1024)) KiB with a hub and a client"
