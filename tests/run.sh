#!/usr/bin/env bash
# The whole check, as CI runs it: installs what is missing, then one step after the other, and stops at the first that
# fails. Works from any directory, on a fresh Debian 12 with Rust, Python, Node.js and npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=SCRIPTDIR/scripts/packages.sh
source tests/scripts/packages.sh

current="preparing"
# What cannot run on this machine.
not_run=""
# However it ends, the last line says how.
conclude() {
  local status=$?
  if ((status == 0)); then
    echo "tests/run.sh: everything passed in $SECONDS s${not_run:+; NOT RUN: $not_run}"
  else
    echo "tests/run.sh: FAILED at: $current (exit status $status)"
  fi
}
trap conclude EXIT

mkdir -p target
# What the current step has said so far.
said="$PWD/target/run-step.txt"

# step NAME COMMAND...: announces a step, runs it, and says how long it took. One that hangs is ended.
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

# The demo judges itself in its last line: nothing was lost, and each of its boxes came back to the server that it
# stopped meanwhile.
check_demo() {
  local last
  last="$(tail --lines=1 "$said")"
  if [[ ! "$last" =~ ^received\ [0-9]+,\ lost\ 0,\ reconnected\ ([0-9]+)$ ]]; then
    echo "the last line should be 'received N, lost 0, reconnected R', and is: $last"
    return 1
  fi
  if ((BASH_REMATCH[1] < 3)); then
    echo "three boxes should have reconnected: $last"
    return 1
  fi
}

step "install what is missing" tests/scripts/install.sh
step "formatting" cargo fmt --all --check
step "formatting of the fuzz targets" cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
step "lints" cargo clippy --locked --workspace --all-features --all-targets -- -D warnings
for features in "" server client macros server,macros client,macros server,rustls client,rustls; do
  step "wsx with features: ${features:-none}" \
    cargo clippy --locked --package wsx --no-default-features --features "$features" -- -D warnings
done
step "tests" cargo test --locked --workspace --all-features
tests="$(count_tests)"
if [[ "$tests" == "0 passed"* ]]; then
  echo "no test ran"
  exit 1
fi
step "documents" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
step "public API" tests/scripts/public_api.sh
step "wake-ups" tests/scripts/model.sh
step "conformance" tests/scripts/conformance.sh
# Against the `echo` that the step before has built.
step "the subject of abuse" cargo build --locked --release --package wsx-tests --bin subject
step "abuse, in short" cargo run --locked --release --package wsx-tests --bin abuse -- \
  --echo target/release/echo --subject target/release/subject --short
step "fuzzing, in short" tests/scripts/fuzz.sh 8
step "shutdown, in short" cargo run --locked --release --package wsx-tests --bin mass_shutdown -- --clients 1000
step "return after an outage, in short" cargo run --locked --release --package wsx-tests --bin mass_return -- --clients 300 --outage 2
# Networks of one's own take root, and a kernel that lets one have them, which not every container does.
if [[ "$(id -u)" == 0 ]] && unshare --net true 2>/dev/null; then
  step "weak networks, in short" tests/scripts/weak_networks.sh 1000
else
  not_run="weak networks, which need root, CAP_SYS_ADMIN and CAP_NET_ADMIN"
fi
step "instructions" tests/scripts/instructions.sh
step "oldest compiler" tests/scripts/msrv.sh
step "main example" cargo run --locked --release --package wsx-examples --bin fleet -- --for 6s
check_demo
# Near the end, where those look who count the tests of a run.
echo "$tests"
