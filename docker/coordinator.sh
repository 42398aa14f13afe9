#!/bin/sh
# A coordinator's life in the demonstration: keys, a token for each of INSTITUTIONS, an open door until all have joined, one run,
# and the door again, by which institutions fetch the artifact. Started again at any point, it goes on from there.
. /opt/fedstill/demo/post.sh
host=${FEDSTILL_HOST:-coordinator}

roster() { fedstill coordinator roster "$data" --json | python3 -c "import json,sys; found = json.load(sys.stdin); print($1)"; }
all_joined() { [ "$(roster 'len(found["members"])')" -ge "$(echo "$INSTITUTIONS" | wc -w)" ]; }

[ -e "$data/keys/identity.key" ] || fedstill coordinator init "$data" --config "$data/proposed.toml" --host "$host"
if [ ! -e "$data/enrolled" ]; then
  umask 077
  for name in $INSTITUTIONS; do
    [ -e "$post/$name/token" ] && continue
    fedstill coordinator invite "$data" "$name" --address "$host:$port" >"$data/token"
    send "$data/token" "$post/$name/token"
    rm "$data/token"
  done
  say "waiting for $INSTITUTIONS to join"
  fedstill coordinator open "$data" --port "$port" --metrics-port "$metrics_port" &
  door=$!
  wait_for 600 all_joined
  kill -TERM "$door"
  wait "$door" || true
  roster 'found["roster_digest"]' >"$data/roster.digest"
  for name in $INSTITUTIONS; do send "$data/roster.digest" "$post/$name/roster.digest"; done
  touch "$data/enrolled"
fi
export RUN="${RUN:-demonstration}"
exec sh /opt/fedstill/demo/serve.sh
