#!/usr/bin/env bash
# docker-compose.yml, tried on a real engine: builds both images, brings up a coordinator and five hospitals, breaks some of them in
# mid-run, and waits for a signed artifact that a hospital fetches and verifies. Whatever happens, everything is taken down, volumes too.
#   tests/e2e/compose.sh              ROUNDS=5 PORT=18443 MINUTES=30; BASE and PIP_OPTIONS as in docker/Dockerfile; KEEP=1 keeps it up;
#                                     BUILT=1 takes the images that there are
#   OBSERVE="prometheus grafana" tests/e2e/compose.sh    these too: every service is scraped, every query of the dashboard is answered
# Exit codes: 0 it works; 1 it does not; 77 there is no Docker Engine here and NOTHING WAS TRIED.
set -euo pipefail
cd "$(dirname "$0")/../.."
export ROUNDS=${ROUNDS:-5} PORT=${PORT:-18443} WAIT=${WAIT:-60}
project=fedstill-e2e-$$ run=demonstration hospitals=(hospital-a hospital-b hospital-c hospital-d hospital-e)
started=$SECONDS bound=$((SECONDS + 60 * ${MINUTES:-30}))

say() { printf '== %4d s  %s\n' $((SECONDS - started)) "$*"; }
fail() { echo "FAILED after $((SECONDS - started)) s: $*" >&2; exit 1; }

if ! docker info >/dev/null 2>&1; then
  printf '%s\n' "" "############################################################" "#  NO DOCKER ENGINE HERE: docker-compose.yml WAS NOT TRIED  #" \
    "############################################################" "" >&2
  exit 77
fi
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
command -v "${compose[0]}" >/dev/null || fail "there is a Docker Engine, but neither 'docker compose' nor docker-compose"
compose+=(--project-name "$project")

up() { "${compose[@]}" up --detach 2>&1 | sed 's/^/   /'; }
container() { docker ps --all --quiet --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1"; }
state() { docker inspect --format "{{$2}}" "$(container "$1")"; }
inside() { docker exec "$(container "$1")" "${@:2}"; }
said() { docker logs "$(container "$1")" 2>&1 | grep -Eq "$2"; }
closed() { docker logs "$(container coordinator)" 2>&1 | grep -Ec 'round [0-9]+ \(train\) closed' || true; }
closed_more_than() { [ "$(closed)" -gt "$1" ]; }
healthy() { [ "$(state "$1" .State.Health.Status)" = healthy ]; }
came_back() { [ "$(state "$1" .RestartCount)" -ge 1 ] && [ "$(state "$1" .State.Running)" = true ]; }

await() {  # await WHAT COMMAND…: until the command succeeds, within the script's bound; a service that ends with an error ends the wait
  local what=$1; shift
  until "$@"; do
    [ "$SECONDS" -lt "$bound" ] || fail "$what did not happen in time"
    sleep 2
  done
  say "$what"
}

take_down() {
  local code=$?
  trap - EXIT INT TERM
  if [ "$code" -ne 0 ]; then
    "${compose[@]}" ps || true
    "${compose[@]}" logs --tail 40 || true
  fi
  [ -n "${KEEP:-}" ] || "${compose[@]}" --profile observe down --volumes --timeout 10 2>&1 | sed 's/^/   /' || true
  exit "$code"
}
trap take_down EXIT
trap 'exit 130' INT TERM

crash() {  # as a power cut: every process of the container at once, so that nothing can be tidied up; the restart policy acts
  inside "$1" sh -c 'kill -9 -1' || true
  say "$1 crashed (kill -9 of all its processes)"
}
kill_by_operator() {  # Docker takes it for the operator's wish and does not start it again by itself
  docker kill "$(container "$1")" >/dev/null
  say "docker kill $1"
}

if [ -z "${BUILT:-}" ]; then
  say "building"
  "${compose[@]}" build >"${BUILD_LOG:-/dev/null}" 2>&1 || fail "the images cannot be built; BUILD_LOG=file tells why"
fi
for side in coordinator institution; do
  say "fedstill-$side:local is $(($(docker image inspect --format '{{.Size}}' "fedstill-$side:local") / 1000000)) MB"
done
upped=$SECONDS
up
if [ -n "${OBSERVE:-}" ]; then  # shellcheck disable=SC2086
  "${compose[@]}" --profile observe up --detach --no-deps $OBSERVE 2>&1 | sed 's/^/   /'
fi
await "all hospitals have joined by their tokens" said coordinator '5 institutions are here'
await "the first training round is closed" closed_more_than 0

kill_by_operator hospital-b
crash hospital-c
await "hospital-c is back by itself" came_back hospital-c
before=$(closed)
await "another training round is closed" closed_more_than "$before"
[ "$(state hospital-b .State.Running)" = false ] || fail "hospital-b was killed and runs"

crash coordinator
await "the coordinator is back by itself" came_back coordinator
await "the run goes on" said coordinator "run $run goes on"

kill_by_operator coordinator
say "the command that started everything, again"
up
await "the run is finished" said coordinator "run $run is finished"
say "up to artifact took $((SECONDS - upped)) s"

for name in coordinator "${hospitals[@]}"; do await "$name is healthy" healthy "$name"; done
key=$(inside hospital-a python3 -c 'import base64, json; print(base64.b64decode(json.load(open("/data/roster.json"))["coordinator"]).hex())')
await "the coordinator's door is open again" inside hospital-a fedstill client artifact /data "$run" --out /tmp/artifact
inside hospital-a fedstill artifact verify /tmp/artifact --key "$key" || fail "the artifact does not verify"
inside hospital-c fedstill audit verify /data || fail "hospital-c's audit does not verify"
inside coordinator fedstill audit verify /data || fail "the coordinator's audit does not verify"

if [ -n "${OBSERVE:-}" ]; then
  for name in $OBSERVE; do await "$name is healthy" healthy "$name"; done
  python3 tests/e2e/observed.py "http://127.0.0.1:9090" docker/observe/dashboards/fedstill.json || fail "Prometheus does not see everything"
fi
docker stats --no-stream --format '   {{.Name}}  {{.MemUsage}}  {{.PIDs}} processes'
say "it works: a signed artifact in spite of two crashes and two docker kills"
