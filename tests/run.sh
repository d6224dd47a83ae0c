#!/usr/bin/env bash
# The whole check, as CI runs it. Installs the packages that are missing, then runs one step after
# the other, and stops at the first step that fails. Works from any directory, on a fresh Debian 12
# with Rust, Python, Node.js and npm.
#
# `tests/run.sh quick` is for running by hand, in less than five minutes once everything was built.
# It installs nothing, and runs the lints, the unit tests, the promises that need no other build,
# and the documents.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=SCRIPTDIR/scripts/packages.sh
source tests/scripts/packages.sh

mode="$*"
case "$mode" in
  "" | quick) ;;
  *) fail "usage: tests/run.sh [quick]" ;;
esac

current="preparing"
# What cannot run on this machine.
not_run=""
# However it ends, the last line says how.
conclude() {
  local status=$?
  if ((status == 0)); then
    echo "tests/run.sh${mode:+ $mode}: everything passed in $SECONDS s${not_run:+; NOT RUN: $not_run}"
  else
    echo "tests/run.sh${mode:+ $mode}: FAILED at: $current (exit status $status)"
  fi
}
trap conclude EXIT

mkdir -p target
# What the current step has said so far.
said="$PWD/target/run-step.txt"

# step NAME COMMAND...: announces a step, runs it, and says how long it took. One that hangs is
# ended.
step() {
  local start=$SECONDS
  current="$1"
  shift
  echo "== $current"
  timeout --kill-after=10s 30m "$@" 2>&1 | tee "$said"
  echo "-- $current: $((SECONDS - start)) s"
}

# What `cargo test` said of its many programs, as one line that counts them all.
count_tests() {
  awk '
    /^test result: / {
      for (i = 2; i <= NF; i++) {
        if ($i == "passed;") passed += $(i - 1)
        if ($i == "failed;") failed += $(i - 1)
        if ($i == "ignored;") ignored += $(i - 1)
      }
    }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored }
  ' "$said"
}

# cargo_test ARGUMENT...: runs tests, and keeps their number for the end.
tests=""
cargo_test() {
  step "tests" cargo test --locked --workspace --all-features "$@"
  tests="$(count_tests)"
  [[ "$tests" != "0 passed"* ]] || fail "not one test ran"
}

[[ "$mode" == quick ]] || step "install what is missing" tests/scripts/install.sh
step "formatting" cargo fmt --all --check
step "formatting of the fuzz targets" cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
step "columns" tests/scripts/columns.py
step "lints" cargo clippy --locked --workspace --all-features --all-targets -- -D warnings
if [[ "$mode" == quick ]]; then
  quick=(--lib --bins)
  for name in allocations client connection envelope everywhere handlers server start_up; do
    quick+=(--test "$name")
  done
  cargo_test "${quick[@]}"
  step "documents" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
  echo "$tests"
  exit
fi

for features in "" macros contract versions client,versions client server tungstenite outbox deflate client,deflate server,deflate client,macros server,macros proxy testing client,rustls server,rustls hyper axum tracing metrics client,metrics,tracing server,metrics,tracing nats nats,metrics,tracing; do
  step "wsx with features: ${features:-none}" \
    cargo clippy --locked --package wsx-rs --no-default-features --features "$features" -- -D warnings
done
step "a protocol crate by itself" cargo clippy --locked --package fleet-protocol -- -D warnings
cargo_test
step "documents" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
step "public API" tests/scripts/public_api.sh
step "packages" tests/scripts/package.sh
step "wake-ups" tests/scripts/model.sh
step "programs of the campaigns" tests/scripts/campaigns.sh
step "conformance" tests/scripts/conformance.sh
step "abuse, in short" target/campaign/abuse --echo target/campaign/echo --subject target/campaign/subject --short
step "shutdown, in short" target/campaign/mass_shutdown --clients 1000
step "return after an outage, in short" target/campaign/mass_return --clients 300 --outage 2
step "return at a rate, in short" target/campaign/mass_return --clients 300 --outage 2 --rate 50
step "return with kept messages, in short" target/campaign/kept_return --boxes 300 --messages 300
step "return to a mailbox, in short" target/campaign/kept_return --boxes 200 --messages 200 --to-boxes
step "kills and power losses, in short" tests/scripts/store.sh
# Networks of one's own take root, and a kernel that lets one have them, which not every container
# does.
if [[ "$(id -u)" == 0 ]] && unshare --net true 2>/dev/null; then
  step "weak networks, in short" tests/scripts/weak_networks.sh 1000
  step "slow links, in short" tests/scripts/slow_links.sh 64 150000 6
  step "names" tests/scripts/names.sh
else
  not_run="weak networks, slow links and names, which need root, CAP_SYS_ADMIN and CAP_NET_ADMIN"
fi
step "fuzzing, in short" tests/scripts/fuzz.sh 60
step "instructions" tests/scripts/instructions.sh
step "oldest compiler" tests/scripts/msrv.sh
# Near the end, where those look who count the tests of a run.
echo "$tests"
