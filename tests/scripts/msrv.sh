#!/usr/bin/env bash
# Builds the two library crates with the oldest compiler that Cargo.toml promises: Debian 12's own
# rustc and cargo, in that version. They are unpacked below target/, not installed, so that they and
# rustup's do not meet.
#
# With every feature but `nats`: async-nats needs Rust 1.89.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

promised="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)"
[[ -n "$promised" ]] || fail "Cargo.toml has no line 'rust-version = \"...\"'"
home="$PWD/target/msrv/rust-$promised"

unpack() {
  local version package
  need_command apt-get "the compiler comes from a Debian package, so this check runs on Debian 12"
  update_package_lists
  # The lists may name later versions too; the first that fits is the newest build of the promised
  # one.
  version="$(apt-cache madison rustc-web |
    awk -v promised="$promised." 'index($3, promised) == 1 && !found++ { print $3 }')"
  [[ -n "$version" ]] || fail "there is no Debian package rustc-web of version $promised; this check runs on Debian 12"
  echo "unpacking the Debian packages rustc-web and cargo-web $version into target/msrv"
  rm -rf "$home.new"
  mkdir -p "$home.new/packages"
  # apt's own user may not write here, and apt says so at length unless told to stay who it is.
  (cd "$home.new/packages" && quietly apt-get --option APT::Sandbox::User=root download "rustc-web=$version" \
    "cargo-web=$version" "libstd-rust-web-$promised=$version" "libstd-rust-web-dev=$version") ||
    fail "apt-get could not download the packages; its own words are above"
  for package in "$home.new"/packages/*.deb; do
    dpkg --extract "$package" "$home.new"
  done
  rm -r "$home.new/packages"
  # Last, so that a directory of this name is a whole one.
  mv "$home.new" "$home"
}

[[ -d "$home" ]] || unpack
# The shared libraries that these packages name as their dependencies.
need_packages libcurl4 libhttp-parser2.9 libllvm19 libpcre3 libsqlite3-0 libssh2-1

libraries=("$home"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH="${libraries[0]}" RUSTC="$home/usr/bin/rustc" CARGO_TARGET_DIR="$PWD/target/msrv"
# Either would put another compiler in the place of this one.
unset RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
cargo="$home/usr/bin/cargo"
for program in "$RUSTC" "$cargo"; do
  version="$("$program" --version)" || fail "$program does not run; its own words are above"
  [[ "$version" == *" $promised."* ]] || fail "$program says that it is '$version', not $promised"
  echo "$version"
done

"$cargo" check --locked --package wsx-rs --package wsx-macros --features "$(features_but_nats wsx/Cargo.toml),__internals"
