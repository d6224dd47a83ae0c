# Sourced by the scripts beside it: Debian packages, and the words with which a script fails.
# shellcheck shell=bash

fail() {
  echo "$*" >&2
  exit 1
}

# need_command COMMAND HINT: fails with the hint when there is no such command. For tools whose version is the user's to
# choose, so that they are not installed on the way.
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

# Once for each script, as a fresh machine's lists are empty and an old list names files that have gone. Only root can;
# others go on with the lists that are there.
update_package_lists() {
  [[ "$(id -u)" == 0 && -z "${package_lists_are_fresh:-}" ]] || return 0
  quietly apt-get update || fail "apt-get update failed; its own words are above"
  package_lists_are_fresh=yes
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
