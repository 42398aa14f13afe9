#!/bin/sh
# A coordinator that has members: the run that RUN names, to its end, and then the open door, by which institutions join, renew and
# fetch the artifact. Started again at any point, it goes on from there; without RUN it is the door alone.
set -eu
data=${DATA:-/data} port=${FEDSTILL_PORT:-8443} metrics_port=${METRICS_PORT:-9464} code=0

if [ -n "${RUN:-}" ]; then
  child='' stopped=''
  # A shell does not hand a signal on: without this a stop would kill the run instead of ending it.
  trap 'stopped=130; [ -z "$child" ] || kill -TERM "$child" || true' TERM INT
  fedstill coordinator run "$data" --run "$RUN" --port "$port" --wait "${WAIT:-900}" --metrics-port "$metrics_port" &
  child=$!
  [ -z "$stopped" ] || kill -TERM "$child" || true
  wait "$child" || code=$?
  while kill -0 "$child" 2>/dev/null; do
    code=0
    wait "$child" || code=$?
  done
  [ -z "$stopped" ] || exit "$stopped"
  # 60 is also the answer to who asks for a run that is finished.
  [ "$code" = 0 ] || { [ "$code" = 60 ] && [ -e "$data/runs/$RUN/artifact" ]; } || exit "$code"
  trap - TERM INT
fi
exec fedstill coordinator open "$data" --port "$port" --metrics-port "$metrics_port"
