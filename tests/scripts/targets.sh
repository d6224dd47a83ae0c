#!/usr/bin/env bash
# Checks wsx for the processors and C libraries of edge boxes: row A3 of the specification. The
# oldest compiler builds it for 32-bit x86, armv7 and aarch64 with glibc, and for armv7 and aarch64
# with musl. The unit tests of the library also run, as a 32-bit program. With every feature but
# `nats`, which is for servers, and needs a later compiler.
#
# The compiler is Debian's, as in msrv.sh, and so are the standard libraries, unpacked below
# target/. Debian has none for musl: there, cargo builds the standard library itself, from Debian's
# package of its sources.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

# Unpacks the oldest compiler, and checks wsx for this machine.
quietly tests/scripts/msrv.sh || fail "the oldest compiler does not build wsx; its own words are above"
promised="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)"
home="$PWD/target/msrv/rust-$promised"

unpack() {
  local apt="$PWD/target/msrv/apt" version architecture package wanted=()
  echo "unpacking Debian's standard libraries for i386, armhf and arm64 into target/msrv"
  # An apt of its own, so that this system need not know the other architectures.
  rm -rf "$apt"
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,packages}
  touch "$apt/status"
  cat >"$apt/conf" <<END
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Architectures {"amd64"; "i386"; "armhf"; "arm64";};
APT::Sandbox::User "root";
END
  # A missing list is no reason to stop: what is not found fails below.
  APT_CONFIG="$apt/conf" apt-get update >/dev/null 2>&1 || true
  version="$(APT_CONFIG="$apt/conf" apt-cache madison libstd-rust-web-dev:armhf |
    awk -v promised="$promised." 'index($3, promised) == 1 && !found++ { print $3 }')"
  [[ -n "$version" ]] || fail "there is no Debian package libstd-rust-web-dev of version $promised for armhf"
  for architecture in i386 armhf arm64; do wanted+=("libstd-rust-web-dev:$architecture=$version"); done
  (cd "$apt/packages" && APT_CONFIG="$apt/conf" quietly apt-get download "${wanted[@]}" "rust-web-src=$version") ||
    fail "apt-get could not download the packages; its own words are above"
  for package in "$apt"/packages/*.deb; do
    dpkg --extract "$package" "$home"
  done
  rm -r "$apt"
}
[[ -d "$home/usr/lib/rustlib/src" && -d "$home/usr/lib/rustlib/armv7-unknown-linux-gnueabihf" ]] || unpack
# The C parts of rustls' cryptography, and the linker of the 32-bit tests.
need_packages gcc-i686-linux-gnu gcc-arm-linux-gnueabihf gcc-aarch64-linux-gnu \
  libc6-dev-i386-cross libc6-dev-armhf-cross libc6-dev-arm64-cross

libraries=("$home"/usr/lib/x86_64-linux-gnu)
export LD_LIBRARY_PATH="${libraries[0]}" RUSTC="$home/usr/bin/rustc" CARGO_TARGET_DIR="$PWD/target/msrv"
export CC_i686_unknown_linux_gnu=i686-linux-gnu-gcc CC_armv7_unknown_linux_gnueabihf=arm-linux-gnueabihf-gcc
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
export CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER=i686-linux-gnu-gcc
export CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_RUNNER="/usr/i686-linux-gnu/lib/ld-linux.so.2 --library-path /usr/i686-linux-gnu/lib"
unset RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
cargo="$home/usr/bin/cargo"
all="$(features_but_nats wsx/Cargo.toml)"

for target in i686-unknown-linux-gnu armv7-unknown-linux-gnueabihf aarch64-unknown-linux-gnu; do
  echo "$target"
  quietly "$cargo" check --locked --package wsx-rs --features "$all" --target "$target" ||
    fail "wsx does not build for $target; the compiler's words are above"
done
# Without rustls, whose cryptography needs a C compiler for musl.
for target in armv7-unknown-linux-musleabihf aarch64-unknown-linux-musl; do
  echo "$target"
  RUSTC_BOOTSTRAP=1 quietly "$cargo" check --locked -Z build-std=std,panic_abort --package wsx-rs \
    --features "${all/rustls,/}" --target "$target" ||
    fail "wsx does not build for $target; the compiler's words are above"
done
"$cargo" test --locked --package wsx-rs --features "$all" --lib --target i686-unknown-linux-gnu ||
  fail "a unit test failed as a 32-bit program"
echo "targets: wsx builds for i686, armv7 and aarch64 with glibc, and for armv7 and aarch64 with musl; its unit tests pass on i686"
