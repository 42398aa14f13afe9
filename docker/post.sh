# Sourced by coordinator.sh and institution.sh. Each institution has a volume /post that it shares with the coordinator alone: it stands
# in for the post, which brings a token to its one receiver, and for the telephone, by which people compare the roster's fingerprint.
set -eu
data=/data post=/post
port=${FEDSTILL_PORT:-8443} metrics_port=${METRICS_PORT:-9464}
export FEDSTILL_METRICS_HOST="metrics.$(hostname)"

say() { echo "[$(hostname)] $*" >&2; }

wait_for() {  # wait_for SECONDS COMMAND…: until the command succeeds, or say what did not happen and fail
  left=$1; shift
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { say "gave up waiting: $*"; exit 80; }
    sleep 1
  done
}

send() {  # send FILE TO: whole or not there
  cp "$1" "$2.part" && mv "$2.part" "$2"
}
