# Sourced by the scripts beside it: Debian packages, the compiler, and the words with which a script
# fails.
# shellcheck shell=bash

fail() {
  echo "$*" >&2
  exit 1
}

# need_command COMMAND HINT: fails with the hint when there is no such command. For tools whose
# version is the user's to choose, so that they are not installed on the way.
need_command() {
  command -v "$1" >/dev/null || fail "$1 is missing: $2"
}

# need_packages PACKAGE...: installs the Debian packages that are missing, and names them.
need_packages() {
  local package missing=()
  for package in "$@"; do
    [[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  echo "installing the Debian packages ${missing[*]}"
  [[ "$(id -u)" == 0 ]] || fail "this needs root: run 'apt-get install ${missing[*]}' and try again"
  update_package_lists
  DEBIAN_FRONTEND=noninteractive quietly apt-get install --yes --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install ${missing[*]}; its own words are above"
}

# Once for each script, as a fresh machine's lists are empty and an old list names files that have
# gone. Only root can; others go on with the lists that are there.
update_package_lists() {
  [[ "$(id -u)" == 0 && -z "${package_lists_are_fresh:-}" ]] || return 0
  quietly apt-get update || fail "apt-get update failed; its own words are above"
  package_lists_are_fresh=yes
}

# need_tool NAME VERSION [ARGUMENT...]: installs a cargo program into target/tools, unless this very
# version is there, and puts it on the path. The arguments stand before `--version`.
need_tool() {
  local name="$1" version="$2" tools="$PWD/target/tools"
  shift 2
  if [[ "$("$tools/bin/$name" "$@" --version 2>/dev/null)" != "$name $version" ]]; then
    echo "installing $name $version into target/tools"
    quietly cargo install --locked --root "$tools" --version "=$version" "$name" ||
      fail "cargo install $name failed; its own words are above"
  fi
  export PATH="$tools/bin:$PATH"
}

# Shows what a command says only if it fails.
quietly() {
  local output
  output="$("$@" 2>&1)" || {
    local status=$?
    echo "$output" >&2
    return "$status"
  }
}

# features_for_users MANIFEST: every feature of a manifest but those for wsx itself, which begin
# with `__`.
features_for_users() {
  python3 -c '
import sys, tomllib
names = tomllib.load(open(sys.argv[1], "rb"))["features"]
print(",".join(sorted(name for name in names if not name.startswith("__"))))' "$1"
}

# features_but_nats MANIFEST: those of them that the oldest compiler builds.
features_but_nats() {
  features_for_users "$1" | sed 's/,nats,/,/'
}

# use_the_pinned_compiler: rustup knows the compiler of rust-toolchain.toml by its version alone,
# and would download it again where it is installed as `stable`. Any installed toolchain of that
# version is chosen instead.
use_the_pinned_compiler() {
  local pinned toolchain installed
  [[ -z "${RUSTUP_TOOLCHAIN:-}" ]] && command -v rustup >/dev/null || return 0
  pinned="$(sed --quiet 's/^channel = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../../rust-toolchain.toml")"
  [[ -n "$pinned" ]] || fail "rust-toolchain.toml has no line 'channel = \"...\"'"
  installed="$(rustup toolchain list | cut --delimiter=' ' --fields=1)"
  ! grep --quiet --line-regexp "$pinned-.*" <<<"$installed" || return 0
  for toolchain in $installed; do
    if [[ "$(RUSTUP_TOOLCHAIN="$toolchain" rustc --version)" == "rustc $pinned "* ]]; then
      export RUSTUP_TOOLCHAIN="$toolchain"
      return 0
    fi
  done
}
use_the_pinned_compiler
