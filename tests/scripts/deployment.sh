#!/usr/bin/env bash
# The page docs/deployment.md, as a reader follows it: row D4 of the specification. buildah builds
# its container file. systemd runs its unit, as process 1 of namespaces of its own. The program of
# the image does so too, without systemd. Each is stopped with SIGTERM while a client is connected.
# Takes about a minute, most of it the build.
#
# No registry of images is needed: the two base images are made of this machine's compiler and C
# library. The program is built without optimization, which takes a quarter of the time.
#
# Installs what it needs. Takes root, and a kernel that allows namespaces.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=SCRIPTDIR/packages.sh
source tests/scripts/packages.sh

# Where the programs read their files, as the page says.
etc=/etc/station

# block FILE: the block of the page below the name of this file.
block() {
  awk -v name="\`$1\`" '
    $0 == name { named = 1; next }
    named && /^```/ { if (inside) exit; inside = 1; next }
    inside
  ' docs/deployment.md
}

# block_of LANGUAGE: the first block of the page in this language.
block_of() {
  awk -v fence="\`\`\`$1" '
    inside && $0 == "```" { exit }
    inside
    $0 == fence { inside = 1 }
  ' docs/deployment.md
}

# eventually COMMAND...: repeats a command until it succeeds.
eventually() {
  local end=$((SECONDS + 20))
  until "$@"; do
    ((SECONDS < end)) || fail "it does not succeed: $*"
    sleep 0.05
  done
}

# The health check, and so the certificate.
health() {
  curl --silent --output /dev/null --write-out '%{http_code}' --cacert "$folder/certificates/ca.pem" \
    https://localhost:9001/healthz
}
serves() { [[ "$(health)" == 200 ]]; }
drains() { [[ "$(health)" == 503 ]]; }
connected() { grep --quiet connected "$folder/client.txt"; }

# A box that is not wsx. It prints the code of the close.
client() {
  tests/interop/.venv/bin/python - "$folder/certificates/ca.pem" <<'PYTHON'
import asyncio, ssl, sys
from websockets.asyncio.client import connect

async def main():
    tls = ssl.create_default_context(cafile=sys.argv[1])
    headers = {"Authorization": "Bearer 7f3a"}
    async with connect("wss://localhost:9001/ws", ssl=tls, additional_headers=headers) as box:
        print("connected", flush=True)
        await box.wait_closed()
        print("closed with", box.close_code, flush=True)

asyncio.run(asyncio.wait_for(main(), 60))
PYTHON
}

# is_stopped_by COMMAND...: while a client is connected, stops the program with this command. First
# it drains, and then it closes its connections.
is_stopped_by() {
  eventually serves
  rm -f "$folder/client.txt"
  client >"$folder/client.txt" 2>&1 &
  local client=$!
  eventually connected
  "$@" &
  local stopping=$!
  eventually drains
  ! grep --quiet closed "$folder/client.txt" || fail "the client was closed before the end of draining"
  wait "$stopping" || fail "$*: failed with status $?"
  wait "$client" || fail "the client failed: $(<"$folder/client.txt")"
  grep --quiet 'closed with 1001' "$folder/client.txt" || fail "the client was not closed with 1001: $(<"$folder/client.txt")"
}

# Inside: makes the network and the files of the page. The network is loopback alone, so the port is
# free. Whatever is written below /etc and /usr/local/bin disappears with the namespace.
prepare() {
  local changed
  ip link set lo up
  mount -t proc proc /proc
  mount -t tmpfs tmpfs /run
  for changed in /etc /usr/local/bin; do
    mkdir -p "/run/upper$changed" "/run/work$changed"
    mount -t overlay -o "lowerdir=$changed,upperdir=/run/upper$changed,workdir=/run/work$changed" overlay "$changed"
  done
}

# put FOLDER: puts the files of the server into this folder.
put() {
  mkdir -p "$1"
  cp "$folder"/certificates/{chain.pem,key.pem} "$1"
  echo "7f3a box-7" >"$1/tokens"
}

# Inside, beside systemd: what the page says to type.
with_systemd() {
  eventually systemctl is-system-running --quiet
  systemctl start station
  is_stopped_by systemctl stop station
  [[ "$(systemctl show station --property=Result --value)" == success ]] || fail "the stop was not clean"
  systemctl start station
  eventually serves
  echo "0000 box-8" >>"$etc/tokens"
  systemctl reload station
  eventually grep --quiet reloaded "$folder/station.txt"
  local pid limit
  pid="$(systemctl show station --property=MainPID --value)"
  limit="$(awk '/^Max open files/ { print $4 }' "/proc/$pid/limits")"
  # A system may allow less.
  ((limit == 32768 || limit == $(ulimit -Hn))) || fail "the program may open $limit files"
  [[ "$(stat --format=%U "/proc/$pid")" == station ]] || fail "the program runs as another user"
  # The program fails, so systemd starts it again.
  systemctl kill --signal=SIGKILL station
  eventually serves
  is_stopped_by systemctl stop station
}

# Inside: runs systemd in place of this process.
as_systemd() {
  local units=/run/units target
  prepare
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  cp "$folder/station" /usr/local/bin/station
  put "$etc"
  # The commands of the page.
  block_of sh >"$folder/commands.sh"
  sh -e "$folder/commands.sh"
  # Only these units, so that nothing else of this machine is started.
  mkdir -p "$units/station.service.d"
  for target in sysinit basic multi-user network-online shutdown umount; do
    printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$target" >"$units/$target.target"
  done
  block /etc/systemd/system/station.service >"$units/station.service"
  SYSTEMD_UNIT_PATH="$units" systemd-analyze verify --man=no "$units/station.service" ||
    fail "systemd-analyze does not accept the unit"
  printf '[Service]\nStandardOutput=append:%s\n' "$folder/station.txt" >"$units/station.service.d/output.conf"
  {
    trap 'echo ended' EXIT
    with_systemd
    echo passed
  } >"$folder/inside.txt" 2>&1 &
  container=test SYSTEMD_UNIT_PATH="$units" exec /lib/systemd/systemd --system --unit=multi-user.target
}

# Inside: runs the program of the image as a container engine does, as process 1 and as its user.
as_container() {
  local user command unshare
  prepare
  put "$folder/image$etc"
  chown -R root:65532 "$folder/image$etc"
  chmod -R u=rwX,g=rX,o= "$folder/image$etc"
  user="$(<"$folder/user.txt")"
  mapfile -t command <"$folder/command.txt"
  unshare --pid --fork --kill-child chroot --userspec="$user" "$folder/image" "${command[@]}" \
    >"$folder/station.txt" &
  unshare=$!
  eventually serves
  [[ "$(ps --ppid "$unshare" --format uid=)" -gt 0 ]] || fail "the program of the image runs as root"
  is_stopped_by pkill --signal TERM --parent "$unshare"
  wait "$unshare" || fail "the program of the image ended with status $?"
  grep --quiet 'stopped, 0 connections were cut off' "$folder/station.txt" || fail "the program does not say that it stopped"
  echo passed >"$folder/inside.txt"
}

case "${1:-}" in
  as_systemd | as_container)
    folder="$2"
    "$1"
    exit
    ;;
esac

[[ "$(id -u)" == 0 ]] || fail "this needs root, as it makes namespaces: run it with sudo"
need_packages buildah curl iproute2 openssl procps systemd
[[ -x tests/interop/.venv/bin/python ]] || tests/scripts/install.sh
folder="$(mktemp --directory)"
images=(buildah --root "$folder/images" --runroot "$folder/images-run" --storage-driver vfs)
clean_up() {
  "${images[@]}" umount --all >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap clean_up EXIT
mkdir -p "$folder"/{certificates,package/src}

echo "the certificate"
(
  cd "$folder/certificates"
  quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj "/CN=a CA" \
    -keyout ca.key -out ca.pem
  quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=localhost" \
    -addext "subjectAltName=DNS:localhost" -keyout key.pem -out csr.pem
  quietly openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy \
    -out chain.pem
)

echo "the package of the page"
for file in Cargo.toml src/main.rs Containerfile .dockerignore; do
  block "$file" >"$folder/package/$file"
  [[ -s "$folder/package/$file" ]] || fail "docs/deployment.md has no block $file"
done
mkdir "$folder/package/wsx"
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory "$folder/package/wsx"
# The versions that the workspace is tested with; other versions would need the network.
cp Cargo.lock "$folder/package"
(cd "$folder/package" && quietly cargo tree --offline)

echo "the image"
cargo_home="${CARGO_HOME:-$HOME/.cargo}" rustup_home="${RUSTUP_HOME:-$HOME/.rustup}"
# base NAME FOLDER [OPTION...]: makes a base image of this folder.
base() {
  local name="$1" root="$2" container
  shift 2
  container="$("${images[@]}" from scratch)"
  quietly "${images[@]}" copy "$container" "$root" /
  quietly "${images[@]}" config "$@" "$container"
  quietly "${images[@]}" commit --rm "$container" "$name"
}
mapfile -t names < <(awk '$1 == "FROM" { print $2 }' "$folder/package/Containerfile")
((${#names[@]} == 2)) || fail "the container file has ${#names[@]} stages"
mkdir -p "$folder"/{rust,debian}/{etc,tmp}
ln --symbolic usr/bin usr/lib usr/lib64 usr/sbin "$folder/rust"
base "${names[0]}" "$folder/rust" --env "PATH=$PATH" --env "CARGO_HOME=$cargo_home" --env "RUSTUP_HOME=$rustup_home" \
  --env CARGO_NET_OFFLINE=true --env CARGO_TARGET_DIR=/build ${RUSTUP_TOOLCHAIN:+--env "RUSTUP_TOOLCHAIN=$RUSTUP_TOOLCHAIN"}
for library in $(ldd "$(rustc --print sysroot)/bin/rustc" | awk '/libc.so|libm.so|libgcc_s.so|ld-linux/ { print $(NF - 1) }' | sort --unique); do
  install -D "$library" "$folder/debian$library"
done
base "${names[1]}" "$folder/debian"
# A build with optimization would take four times as long.
sed --in-place 's/^RUN cargo install /&--debug /' "$folder/package/Containerfile"
build="$PWD/target/deployment"
mkdir -p "$build"
quietly "${images[@]}" bud --isolation chroot --pull-never --volume /usr:/usr:ro \
  --volume /etc/alternatives:/etc/alternatives:ro --volume "$cargo_home:$cargo_home" \
  --volume "$rustup_home:$rustup_home:ro" --volume "$build:/build" --tag station --file "$folder/package/Containerfile" "$folder/package" ||
  fail "buildah could not build the container file; its own words are above"
container="$("${images[@]}" from --pull-never station)"
image="$("${images[@]}" mount "$container")"
cp "$image/usr/local/bin/station" "$folder/station"
inspect() { "${images[@]}" inspect --format "$1" "$container"; }
inspect '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}' | sed '/^$/d' >"$folder/command.txt"
inspect '{{.OCIv1.Config.User}}' >"$folder/user.txt"
[[ "$(inspect '{{.OCIv1.Config.StopSignal}}')" == *TERM ]] || fail "the image is not stopped with SIGTERM"
ln --symbolic "$image" "$folder/image"

# inside FUNCTION: runs a function in new namespaces, as their process 1, until it has passed.
inside() {
  local group outer end=$((SECONDS + 120))
  rm -f "$folder/inside.txt"
  # In a control group of its own, which is then the root of all that systemd makes.
  group="$(findmnt --noheadings --first-only --types cgroup2 --output TARGET)/wsx-deployment-$$"
  mkdir "$group"
  (
    echo "$BASHPID" >"$group/cgroup.procs"
    exec unshare --mount --pid --fork --kill-child --net --uts --ipc --cgroup "$PWD/tests/scripts/deployment.sh" "$1" "$folder"
  ) >"$folder/$1.txt" 2>&1 &
  outer=$!
  until grep --quiet 'passed\|ended' "$folder/inside.txt" 2>/dev/null || ! kill -0 "$outer" 2>/dev/null; do
    ((SECONDS < end)) || break
    sleep 0.1
  done
  kill -KILL "$outer" 2>/dev/null || true
  wait "$outer" 2>/dev/null || true
  # The kernel needs a moment to end the last process.
  eventually find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
  grep --quiet passed "$folder/inside.txt" 2>/dev/null ||
    fail "$1: $(cat "$folder/$1.txt" "$folder/inside.txt" 2>&1)"
}

echo "with systemd"
inside as_systemd
echo "as a container"
inside as_container
echo "the page docs/deployment.md works"
