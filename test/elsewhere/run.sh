#!/usr/bin/env bash
# Runs the test suite on another Debian than this machine's, with a Node of choice: for what differs between RabbitMQ's and Node's versions.
#
#   test/elsewhere/run.sh [--debian trixie|sid|bookworm] [--node MAJOR] [--fresh] [-- COMMAND…]
#
# COMMAND runs in a fresh clone of this checkout's last commit, as root of a system of its own: `npm ci && npm test` unless told otherwise.
# For example: test/elsewhere/run.sh --debian sid -- 'npm ci && npx mocha test/backbone/queue-rabbitmq.test.ts'
#
# The system is made by debootstrap in LOAM_ELSEWHERE (/var/tmp/loam-elsewhere) and kept there for the next time; --fresh makes it anew.
# Needs root, debootstrap, git, Debian's mirror and the npm registry. The network is this machine's; processes and mounts are the run's own
# and end with it. The exit code is the command's.
set -euo pipefail

debian=trixie
node=24
fresh=no
command='npm ci --no-audit --no-fund && npm test'

usage() {
  sed -n '2,11s/^# \{0,1\}//p' "$0"
  exit "$1"
}

while [ $# -gt 0 ]; do
  case "$1" in
    --debian) debian="${2:?a release, such as trixie}" && shift 2 ;;
    --node) node="${2:?a major version, such as 24}" && shift 2 ;;
    --fresh) fresh=yes && shift ;;
    --) shift && command="$*" && break ;;
    --help | -h) usage 0 ;;
    *) echo "unknown: $1" >&2 && usage 2 >&2 ;;
  esac
done
[ "$(id -u)" -eq 0 ] || { echo 'this needs root: it makes a system of its own and enters it' >&2 && exit 2; }
for tool in debootstrap git npm unshare chroot; do
  command -v "$tool" >/dev/null || { echo "this needs $tool" >&2 && exit 2; }
done

checkout="$(cd "$(dirname "$0")/../.." && pwd)"
place="${LOAM_ELSEWHERE:-/var/tmp/loam-elsewhere}"
root="$place/$debian"
mkdir -p "$place"
# One run a system at a time: two would install packages into it at once.
exec 9>"$root.lock"
flock --nonblock 9 || { echo "$root is in use by another run" >&2 && exit 2; }

make_system() {
  echo "Making a Debian $debian in $root; this takes some minutes."
  rm -rf "$root" "$root.new"
  debootstrap --variant=minbase --include=ca-certificates,git "$debian" "$root.new" http://deb.debian.org/debian >"$root.log" 2>&1 ||
    { tail -n 5 "$root.log" >&2 && exit 1; }
  # A mirror that is some weeks behind will do for tests.
  echo 'Acquire::Check-Valid-Until "false";' >"$root.new/etc/apt/apt.conf.d/90old-mirror"
  mv "$root.new" "$root"
}

# The npm registry has Node's own program in a package for each system, and npm beside it.
install_node() {
  local to="$root/opt/node-$node" work system
  [ -x "$to/bin/node" ] && return
  case "$(uname -m)" in x86_64) system=linux-x64 ;; aarch64) system=linux-arm64 ;; *) echo "no Node for $(uname -m)" >&2 && exit 2 ;; esac
  work="$(mktemp -d)"
  (cd "$work" && npm pack --silent "node-$system@$node" npm@11 >/dev/null)
  mkdir -p "$to.new/lib/node_modules/npm"
  tar -xzf "$work"/node-"$system"-*.tgz -C "$to.new" --strip-components=1
  tar -xzf "$work"/npm-*.tgz -C "$to.new/lib/node_modules/npm" --strip-components=1
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$to.new/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$to.new/bin/npx"
  rm -rf "$work"
  mv "$to.new" "$to"
}

if [ "$fresh" = yes ] || [ ! -d "$root" ]; then make_system; fi
install_node
rm -rf "$root/loam"
git clone --quiet "$checkout" "$root/loam"

# Processes see none of this machine's, and all of them end with the first, which ends with this script.
export root node command
trap '[ -z "${inside:-}" ] || kill -KILL "$inside" 2>/dev/null || true' EXIT
trap 'exit 143' INT TERM
unshare --mount --pid --fork --kill-child bash -euc '
  mount --make-rprivate /
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
  # Whom this machine trusts, a proxy of its own among them, the other one trusts too.
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt" 2>/dev/null || true
  printf "127.0.0.1 localhost %s\n::1 localhost\n" "$(hostname)" >"$root/etc/hosts"
  exec chroot "$root" env -i HOME=/root LANG=C.UTF-8 TERM=dumb DEBIAN_FRONTEND=noninteractive NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    PATH="/opt/node-$node/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    bash -c "cd /loam && echo \"Debian \$(cat /etc/debian_version), Node \$(node --version)\" && $command"
' &
inside=$!
wait "$inside"
