# Sourced by coordinator.sh and institution.sh: the shared volume stands in for the operators' post and telephone.
# In a real federation each token goes to its one institution, and people compare the roster's fingerprint by telephone.
set -eu
data=/data exchange=/exchange
port=${FEDSTILL_PORT:-8443}

say() { echo "[$(hostname)] $*" >&2; }

wait_for() {  # wait_for SECONDS COMMAND…: until the command succeeds, or say what did not happen and fail
  left=$1; shift
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { say "gave up waiting: $*"; exit 80; }
    sleep 1
  done
}

post() {  # post FILE NAME: whole or not there
  cp "$1" "$exchange/.$2.part" && mv "$exchange/.$2.part" "$exchange/$2"
}
